"""The fleet manager's commands against a real broker and gateways with the real roll-out."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import paho.mqtt.client as paho
import pytest
from brokers import Mosquitto
from paho.mqtt import publish
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner, Result

from edge_agent.cli.config import app
from edge_agent.config.load import parse_settings
from edge_agent.config.settings import Settings
from edge_agent.rollout.apply import ConfigRollout
from edge_agent.rollout.effects import Effects, Memory
from edge_agent.rollout.signature import generate_key, public_text, write_private_key


class Gateway:
    """The roll-out behind an MQTT client; a health interval of 13 s makes it unhealthy."""

    def __init__(self, name: str, port: int, anchors: Path) -> None:
        self.prefix = f"edge/{name}"
        self.disk: bytes | None = None
        file = {
            "agent": {"id": name},
            "rollout": {"trust_anchors": str(anchors), "groups": ["pumps"], "probation_s": 1},
        }
        self.running = parse_settings(file, where="file")
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe(
            f"{self.prefix}/config/desired", 1
        )
        self.client.on_message = self._on_message
        effects = Effects(
            validate=lambda document: parse_settings(document, where="settings"),
            apply=self._apply,
            restart=lambda _: None,
            report=self._report,
        )
        self.rollout = ConfigRollout(file, Memory(lambda: self.disk, self._save), effects)
        self.rollout.resume()
        self.client.connect("127.0.0.1", port)
        self.stop = threading.Event()
        self.ticker = threading.Thread(target=self._tick)

    def __enter__(self) -> Gateway:
        self.client.loop_start()
        self.ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop.set()
        self.ticker.join()
        self.client.disconnect()
        self.client.loop_stop()

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self.rollout.handle_desired(bytes(message.payload), 0.0)

    def _tick(self) -> None:
        now = 0.0
        while not self.stop.wait(0.01):
            now += 0.2  # time flies
            bad = self.running.health.interval_s == 13
            self.rollout.tick(now, "the pump loop is late" if bad else None)

    def _save(self, document: bytes) -> None:
        self.disk = document

    def _apply(self, settings: Settings) -> None:
        self.running = settings

    def _report(self, report: dict[str, Any]) -> None:
        payload = json.dumps(report)
        self.client.publish(f"{self.prefix}/config/reported", payload, qos=1, retain=True)


@pytest.fixture
def fleet(broker: Mosquitto, tmp_path: Path) -> Iterator[dict[str, Gateway]]:
    key = generate_key()
    write_private_key(key, tmp_path / "fleet.pem")
    anchors = tmp_path / "anchors.toml"
    anchors.write_text(f'[keys.fleet]\npublic = "{public_text(key)}"\n')
    names = [f"gw-{number}" for number in range(5)]
    gateways = {name: Gateway(name, broker.port, anchors) for name in names}
    for gateway in gateways.values():
        gateway.__enter__()
    yield gateways
    for gateway in gateways.values():
        gateway.__exit__(None, None, None)


def config(broker: Mosquitto, *arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments), "--port", str(broker.port)])


def answer_of(result: Result) -> dict[str, Any]:
    """The JSON object; before it come log lines of the gateways in this process."""
    answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return answer


def write_patch(folder: Path, interval_s: float) -> Path:
    path = folder / "patch.json"
    path.write_text(json.dumps({"health": {"interval_s": interval_s}}))
    return path


WAVES = ("--canary", "1", "--then", "40%", "--then", "all", "--timeout-s", "20", "--json")


def test_a_good_push_goes_through_in_waves_and_back(
    broker: Mosquitto, fleet: dict[str, Gateway], tmp_path: Path
) -> None:
    key = ("--key", tmp_path / "fleet.pem")
    result = config(broker, "push", write_patch(tmp_path, 30), "--group", "pumps", *key, *WAVES)
    assert result.exit_code == 0, result.output
    answer = answer_of(result)
    assert answer["counts"] == {"confirmed": 5}
    assert [one["wave"] for one in answer["agents"]] == [1, 2, 3, 3, 3]
    assert {one.running.health.interval_s for one in fleet.values()} == {30}
    same = config(broker, "diff", "gw-1", "gw-2", "--json")
    assert answer_of(same)["differences"] == {
        "agent.id": {"gw-1": "gw-1", "gw-2": "gw-2"},
    }
    status = answer_of(config(broker, "status", "--json"))
    assert {one["state"] for one in status["agents"].values()} == {"confirmed"}
    assert "gw-4" in config(broker, "status").stdout
    back = config(broker, "rollback", "--agent", "gw-0", *key, "--json")
    assert answer_of(back)["counts"] == {"confirmed": 1}
    assert fleet["gw-0"].running.health.interval_s == 60
    assert config(broker, "watch", "--for", "0.5").exit_code == 0


def test_a_push_that_breaks_halts_after_its_wave(
    broker: Mosquitto, fleet: dict[str, Gateway], tmp_path: Path
) -> None:
    key = ("--key", tmp_path / "fleet.pem")
    result = config(broker, "push", write_patch(tmp_path, 13), "--group", "pumps", *key, *WAVES)
    assert result.exit_code == 1, result.output
    answer = answer_of(result)
    assert answer["counts"] == {"rolled_back": 1, "untouched": 4}
    assert "pump loop is late" in answer["agents"][0]["reason"]
    assert {one.running.health.interval_s for one in fleet.values()} == {60}


def test_an_unsigned_push_is_rejected_by_name(
    broker: Mosquitto, fleet: dict[str, Gateway], tmp_path: Path
) -> None:
    result = config(broker, "push", write_patch(tmp_path, 30), "--agent", "gw-3", "--json")
    assert result.exit_code == 1
    answer = answer_of(result)
    assert answer["agents"][0]["state"] == "rejected"
    assert "not signed" in answer["agents"][0]["reason"]


def test_status_tells_of_every_roll_out(broker: Mosquitto) -> None:
    topics = {"agents": "config", "models": "model", "adapters": "adapter"}
    for one in topics.values():
        said = json.dumps({"state": "none", "kind": one})
        publish.single(f"edge/gw-9/{one}/reported", said, retain=True, port=broker.port)
    found = answer_of(config(broker, "status", "--json"))
    assert {key: found[key]["gw-9"]["kind"] for key in topics} == topics
    assert found["online"] == {}
