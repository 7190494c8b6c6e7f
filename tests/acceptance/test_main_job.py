"""The main job, end to end: real mosquitto, real daemon, real model, simulated or real machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Mosquitto, wait_until
from plant import Client, Daemon, Heard, Row, write_settings

from edge_agent.domain.diagnosis import Diagnosis
from edge_agent.simulate.faults import Fault, FaultName
from edge_agent.simulate.pump import PumpLoop

ONSET_S = 300
ROWS = 480


def pump_rows(fault: FaultName | None, rows: int = ROWS, seed: int = 7) -> list[Row]:
    """Readings of the simulated pump at 1 Hz; ``fault`` starts after ``ONSET_S``."""
    faults = [Fault(fault, onset_s=ONSET_S, develop_s=60)] if fault else []
    loop = PumpLoop(seed, faults)
    return [loop.step(1.0) for _ in range(rows)]


@pytest.fixture
def everything(broker: Mosquitto) -> Iterator[Client]:
    with Client(broker.port, "edge/#", "answers/#") as client:
        yield client


def online(one: Heard) -> bool:
    return bool(one.json["state"] == "online")


@pytest.mark.model
def test_a_machine_goes_wrong_and_the_diagnosis_arrives(
    broker: Mosquitto, everything: Client, tmp_path: Path
) -> None:
    config = write_settings(tmp_path, broker.port)
    with Daemon(config) as daemon:
        everything.wait_for("edge/gw1/status", online)
        everything.stream("simulated-pump", pump_rows(FaultName.OUTLET_VALVE_CLOSING))
        opened = everything.wait_for("edge/gw1/incident/simulated-pump")
        # An early picture may be the rules' alone; as it develops it is diagnosed again.
        diagnosed = everything.wait_for(
            "edge/gw1/diagnosis/simulated-pump", lambda one: one.json["source"] == "model", 120
        )
        assert daemon.terminate() == 0
    finding = opened.json
    diagnosis = Diagnosis.model_validate_json(diagnosed.payload)
    assert finding["phase"] == "opened"
    assert finding["simulated"]
    assert everything.heard.index(opened) < everything.heard.index(diagnosed)
    assert diagnosis.incident_id == finding["incident_id"]
    assert diagnosis.agent_id == "gw1"
    assert diagnosis.simulated
    assert diagnosis.source == "model"
    assert diagnosis.model is not None
    assert diagnosis.cost.tokens_out > 0
    assert diagnosis.cost.joules > 0
    assert diagnosis.fault is not None
    assert diagnosis.fault.id == "outlet_valve_closing"
    assert diagnosis.evidence
    last = everything.on("edge/gw1/status")[-1]
    assert last.json["state"] == "offline"
    assert last.json["session_id"] == everything.on("edge/gw1/status")[0].json["session_id"]


def test_a_healthy_machine_stays_quiet(
    broker: Mosquitto, everything: Client, tmp_path: Path
) -> None:
    with Daemon(write_settings(tmp_path, broker.port)):
        everything.wait_for("edge/gw1/status", online)
        everything.stream("simulated-pump", pump_rows(None, rows=1200))
        everything.wait_for(
            "edge/gw1/health",
            lambda one: one.json["intake"]["readings"] >= 1200 * 9,
        )
    assert everything.on("edge/gw1/incident/+") == []


@pytest.mark.model
def test_sigkill_between_incident_and_diagnosis_gives_exactly_one_diagnosis(
    broker: Mosquitto, everything: Client, tmp_path: Path
) -> None:
    config = write_settings(tmp_path, broker.port, diagnose={"per_incident": 1})
    with Daemon(config) as daemon:
        everything.wait_for("edge/gw1/status", online)
        everything.stream("simulated-pump", pump_rows(FaultName.OUTLET_VALVE_CLOSING))
        everything.wait_for("edge/gw1/incident/simulated-pump")
        daemon.kill()
        assert everything.on("edge/gw1/diagnosis/+") == []
        daemon.start()
        everything.wait_for("edge/gw1/diagnosis/simulated-pump", seconds=120)
        everything.wait_for(
            "edge/gw1/health",
            lambda one: (
                one.json["store"]["jobs"].get("queued", 0) == 0
                and one.json["store"]["jobs"].get("done", 0) >= 1
            ),
        )
        assert daemon.terminate() == 0
    ids = {one.json["diagnosis_id"] for one in everything.on("edge/gw1/diagnosis/+")}
    assert len(ids) == 1


def test_sigkill_loses_no_unsent_result(broker: Mosquitto, tmp_path: Path) -> None:
    """The broker is gone when the diagnosis is made; the daemon dies; both come back."""
    config = write_settings(tmp_path, broker.port, inference={"model": str(tmp_path / "no.gguf")})
    with Daemon(config) as daemon:
        with Client(broker.port, "edge/#") as client:
            client.wait_for("edge/gw1/status", online)
            client.stream("simulated-pump", pump_rows(FaultName.OUTLET_VALVE_CLOSING, rows=300))
            client.wait_for(
                "edge/gw1/health", lambda one: one.json["intake"]["readings"] >= 300 * 9
            )
            client.stream(
                "simulated-pump",
                pump_rows(FaultName.OUTLET_VALVE_CLOSING)[300:],
                start=1.7e9 + 300,
            )
            client.wait_for("edge/gw1/incident/simulated-pump")
        broker.stop()
        wait_until(lambda: "diagnosis_ready" in daemon.log, 60, "the diagnosis")
        daemon.kill()
        broker.start()
        with Client(broker.port, "edge/#") as client:
            daemon.start()
            heard = client.wait_for("edge/gw1/diagnosis/simulated-pump")
            assert Diagnosis.model_validate_json(heard.payload).source == "rules"


def test_without_a_model_the_rules_answer_and_a_model_that_appears_is_picked_up(
    broker: Mosquitto, everything: Client, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"not a model at all")
    config = write_settings(tmp_path, broker.port, inference={"model": str(path)})
    with Daemon(config):
        everything.wait_for("edge/gw1/status", online)
        everything.stream("simulated-pump", pump_rows(FaultName.OUTLET_VALVE_CLOSING))
        heard = everything.wait_for("edge/gw1/diagnosis/simulated-pump")
        diagnosis = Diagnosis.model_validate_json(heard.payload)
        assert diagnosis.source == "rules"
        assert "GGUF" in diagnosis.source_reason
        everything.wait_for("edge/gw1/health", lambda one: "GGUF" in str(one.json["worker"]))


def test_payloads_that_are_no_telemetry_are_counted_and_leave_the_daemon_running(
    broker: Mosquitto, everything: Client, tmp_path: Path
) -> None:
    junk = [b"", b"\xff\xfe\x00", b"{", b"[" * 20_000, b"NaN", b'{"a": 1e999}', b"null", b"\0\0"]
    with Daemon(write_settings(tmp_path, broker.port)) as daemon:
        everything.wait_for("edge/gw1/status", online)
        for payload in junk:
            everything.say("plant/press/telemetry", payload)
        note = everything.wait_for("edge/gw1/deadletter")
        assert note.json["topic"] == "plant/press/telemetry"
        assert note.json["reason"]
        everything.wait_for("edge/gw1/health", lambda one: one.json["intake"]["refused"] >= 5)
        assert daemon.terminate() == 0


def test_a_broker_that_is_away_at_start_is_waited_for(broker: Mosquitto, tmp_path: Path) -> None:
    config = write_settings(tmp_path, broker.port)
    broker.stop()
    with Daemon(config) as daemon:
        wait_until(lambda: "broker" in daemon.log and "refused" in daemon.log, 20)
        assert daemon.process
        assert daemon.process.poll() is None
        broker.start()
        with Client(broker.port, "edge/#") as client:
            client.wait_for("edge/gw1/status", online)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[mqtt]\nhots = "x"\n', ["mqtt.hots", "host"]),
        ('[mqtt]\nport = "no"\n', ["mqtt.port", "'no'"]),
        ("[mqtt\n", ["TOML"]),
    ],
)
def test_wrong_settings_exit_78_and_say_where(tmp_path: Path, text: str, words: list[str]) -> None:
    config = tmp_path / "edge-agent.toml"
    config.write_text(text)
    with Daemon(config) as daemon:
        assert daemon.process
        assert daemon.process.wait(30) == 78
        for word in [str(config), *words]:
            assert word in daemon.log
        assert "Traceback" not in daemon.log


def test_commands_answer_with_correlation_data(
    broker: Mosquitto, everything: Client, tmp_path: Path
) -> None:
    with Daemon(write_settings(tmp_path, broker.port)):
        everything.wait_for("edge/gw1/status", online)
        everything.say(
            "edge/gw1/cmd/status", {}, response_topic="answers/me", correlation=b"\x01\x02"
        )
        answer = everything.wait_for("answers/me")
        assert answer.correlation == b"\x01\x02"
        assert json.loads(answer.payload)
        everything.say("edge/gw1/cmd/nonsense", b"{}", response_topic="answers/other")
        assert "nonsense" in everything.wait_for("answers/other").payload.decode()


@pytest.mark.model
def test_a_diagnosis_on_demand(broker: Mosquitto, everything: Client, tmp_path: Path) -> None:
    with Daemon(write_settings(tmp_path, broker.port)):
        everything.wait_for("edge/gw1/status", online)
        everything.stream("simulated-pump", pump_rows(None, rows=260))
        everything.wait_for(
            "edge/gw1/health", lambda one: one.json["intake"]["readings"] >= 260 * 9
        )
        everything.say(
            "edge/gw1/cmd/diagnose",
            {"equipment": "simulated-pump"},
            response_topic="answers/d",
            correlation=b"42",
        )
        queued = everything.wait_for("answers/d")
        assert queued.json["ok"]
        assert queued.correlation == b"42"
        answer = everything.wait_for("answers/d", lambda one: "verdict" in one.json, seconds=90)
        assert answer.json["diagnosis_id"] == queued.json["result"]["diagnosis_id"]
        assert answer.correlation == b"42"
        assert answer.json["equipment"] == "simulated-pump"
        assert answer.json["verdict"] == "undetermined"
