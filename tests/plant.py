"""A small plant for acceptance tests: the real daemon as a process, and an ordinary MQTT client
that publishes telemetry and hears everything the agent says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import paho.mqtt.client as mqtt
import tomli_w
from brokers import wait_until
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

REPOSITORY = Path(__file__).parent.parent

Row = Mapping[str, float | None]


class Heard:
    """One message that the listener received."""

    def __init__(self, message: mqtt.MQTTMessage) -> None:
        self.topic = message.topic
        self.payload = bytes(message.payload)
        self.retained = message.retain
        self.correlation = getattr(message.properties, "CorrelationData", None)

    @property
    def json(self) -> dict[str, Any]:
        document = json.loads(self.payload)
        assert isinstance(document, dict)
        return document


class Client:
    """An ordinary MQTT 5 client: publishes, and keeps all that it hears."""

    def __init__(self, port: int, *filters: str) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._subscribed = threading.Event()
        self._filters = [(name, 1) for name in filters]
        self.heard: list[Heard] = []
        self._client.on_message = lambda _c, _u, message: self.heard.append(Heard(message))
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.max_queued_messages_set(0)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def __enter__(self) -> Client:
        wait_until(self._client.is_connected, what="connection")
        if self._filters:
            self._client.subscribe([(n, SubscribeOptions(qos=q)) for n, q in self._filters])
            assert self._subscribed.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def say(
        self,
        topic: str,
        payload: bytes | str | dict[str, Any],
        *,
        retain: bool = False,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:
        """Publish at QoS 1 and wait for the acknowledgement."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if response_topic is not None:
            properties.ResponseTopic = response_topic
        if correlation is not None:
            properties.CorrelationData = correlation
        body = json.dumps(payload) if isinstance(payload, dict) else payload
        info = self._client.publish(topic, body, qos=1, retain=retain, properties=properties)
        info.wait_for_publish(20)

    def stream(
        self, equipment: str, rows: Sequence[Row], *, start: float = 1.7e9, period: float = 1.0
    ) -> float:
        """Publish rows with their own timestamps as fast as the broker takes them; returns the
        source time after the last one."""
        info = None
        for number, row in enumerate(rows):
            at = datetime.fromtimestamp(start + number * period, UTC)
            body = json.dumps({"timestamp": at.isoformat(), **row})
            info = self._client.publish(f"plant/{equipment}/telemetry", body, qos=1)
        if info is not None:
            info.wait_for_publish(60)
        return start + len(rows) * period

    def flood(self, topic: str, payload: bytes, times: int) -> None:
        """Publish the same at QoS 0, and wait for nothing."""
        for _ in range(times):
            self._client.publish(topic, payload, qos=0)

    def on(self, topic: str) -> list[Heard]:
        """What was heard on topics that match the filter ``topic``."""
        return [one for one in list(self.heard) if mqtt.topic_matches_sub(topic, one.topic)]

    def wait_for(
        self, topic: str, when: Callable[[Heard], bool] = lambda _: True, seconds: float = 60
    ) -> Heard:
        """The first message on ``topic`` for which ``when`` holds."""
        found: list[Heard] = []

        def look() -> bool:
            found[:] = [one for one in self.on(topic) if when(one)]
            return bool(found)

        wait_until(look, seconds, f"a message on {topic}")
        return found[0]


def write_settings(folder: Path, port: int, **sections: dict[str, Any]) -> Path:
    """A settings file for tests: short learning, the shipped cards, its own state directory."""
    document: dict[str, dict[str, Any]] = {
        "agent": {"id": "gw1"},
        "mqtt": {"port": port, "host": "127.0.0.1", "reconnect_max_s": 1},
        "detect": {"learn_rows": 200},
        "diagnose": {"cards": str(REPOSITORY / "configs" / "equipment")},
        "store": {"state_dir": str(folder / "state")},
        "health": {"interval_s": 2},
        "log": {"format": "json", "level": "debug"},
    }
    for name, section in sections.items():
        document.setdefault(name, {}).update(section)
    path = folder / "edge-agent.toml"
    path.write_text(tomli_w.dumps(document))
    return path


class Daemon:
    """``edge-agent run`` as a real process, with its log in a file."""

    def __init__(self, config: Path, **environment: str) -> None:
        self.config = config
        self.log_path = config.parent / "agent.log"
        self.environment = {**os.environ, **environment}
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Daemon:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        if error is not None:
            sys.stderr.write(f"--- end of {self.log_path}\n{self.log[-6000:]}\n")

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge_agent", "run", "--config", str(self.config)],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=REPOSITORY,
                env=self.environment,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL: no farewell."""
        assert self.process
        self.process.kill()
        self.process.wait(20)

    def terminate(self, seconds: float = 60) -> int:
        """SIGTERM; the exit status."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)
