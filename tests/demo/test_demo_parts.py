"""The demonstration's parts: brokers, children, scenarios, picture and view."""

from __future__ import annotations

import io
import json
import sys
import time
import tomllib
from pathlib import Path

import pytest
from brokers import wait_until
from rich.console import Console

from edge_agent.cli.demo import CARDS
from edge_agent.config import load_settings
from edge_agent.config.broker import MqttSection
from edge_agent.demo.broker import start_broker
from edge_agent.demo.children import Child
from edge_agent.demo.daemon import write_settings
from edge_agent.demo.picture import Picture, Trace
from edge_agent.demo.scenario import Scenario, recorded_scenario, simulated_scenario
from edge_agent.demo.view import cost_line, diagnosis_view, live_view, number, sparkline
from edge_agent.domain.diagnosis import Cost, Diagnosis, RankedFault, Severity
from edge_agent.domain.finding import Direction, SignalEvidence, Window
from edge_agent.domain.level import Level
from edge_agent.errors import BadConfig, BadPayload, Unavailable
from edge_agent.simulate.faults import FaultName
from edge_agent.streaming import Client, telemetry_payload

PUMP_CARD = CARDS / "simulated-pump.toml"


def diagnosis(at: float = 2000.0, name: str = "d1") -> Diagnosis:
    return Diagnosis(
        diagnosis_id=name,
        incident_id="i1",
        agent_id="demo-gateway",
        equipment="simulated-pump",
        simulated=True,
        created_at="2026-01-01T00:00:00Z",
        clock_trusted=True,
        window=Window(start=at - 100, end=at),
        verdict="diagnosed",
        fault=RankedFault(id="bearing_wear", title="Bearing wear with heat", probability=0.83),
        alternatives=(RankedFault(id="imbalance", title="Rotor imbalance", probability=0.1),),
        severity=Severity.CRITICAL,
        explanation="The bearing [drive end] is 14 K hotter than usual.",
        evidence=(
            SignalEvidence(
                id="e1",
                signal="bearing_temperature",
                unit="°C",
                baseline=52.8,
                now=66.7,
                sigma=35.2,
                direction=Direction.UP,
                since=1900.0,
            ),
        ),
        recommended_actions=("Grease the bearing.",),
        source="rules",
        source_reason="no model",
        cost=Cost(tokens_in=400, tokens_out=50, seconds=2.5, joules=10.0),
        governor_level=Level.FULL,
    )


def drawn(renderable: object) -> str:
    page = io.StringIO()
    Console(width=120, file=page).print(renderable)
    return page.getvalue()


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_either_broker_starts_on_a_free_port_carries_messages_and_ends(
    tmp_path: Path, kind: str
) -> None:
    running = start_broker(tmp_path, kind)
    heard: list[bytes] = []
    try:
        assert running.kind == kind
        with (
            Client(running.endpoint, deliver=lambda _t, payload: heard.append(payload)) as listener,
            Client(running.endpoint) as sender,
        ):
            listener.subscribe(["edge/+/status"])
            wait_until(lambda: listener.subscribed, what="the subscription")
            for i in range(300):
                sender.publish("edge/a/status", str(i).encode(), {"simulated": "true"})
            sender.drain()
            wait_until(lambda: len(heard) == 300, what="300 messages")
        assert heard == [str(i).encode() for i in range(300)]
    finally:
        running.child.stop()
    assert running.child.exit_code is not None
    with pytest.raises(Unavailable):
        Client(running.endpoint).connect()


def test_a_child_goes_with_its_whole_group(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(p.pid, flush=True)\ntime.sleep(600)\n"
    )
    child = Child("a parent", [sys.executable, "-c", script], tmp_path / "log")
    wait_until(lambda: child.tail().strip().isdigit(), what="the grandchild")
    grandchild = int(child.tail())
    child.stop()
    wait_until(lambda: not alive(grandchild), what="the grandchild's end")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_child_that_dies_is_reported_with_its_last_words(tmp_path: Path) -> None:
    child = Child(
        "the daemon", [sys.executable, "-c", "print('no luck'); exit(78)"], tmp_path / "log"
    )
    wait_until(lambda: child.exit_code is not None, what="its end")
    with pytest.raises(Unavailable, match=r"(?s)the daemon ended with code 78.*no luck"):
        child.check()
    assert child.stop() == 78


def test_the_settings_that_the_daemon_gets_are_valid(tmp_path: Path) -> None:
    path = write_settings(tmp_path, MqttSection(host="127.0.0.1", port=1999), PUMP_CARD, 123)
    settings = load_settings(path)
    assert (settings.mqtt.port, settings.detect.learn_rows) == (1999, 123)
    assert (settings.diagnose.cards / "simulated-pump.toml").is_file()
    assert settings.store.state_dir.is_dir()


def pump_scenario() -> Scenario:
    return simulated_scenario(
        FaultName.BEARING_WEAR, PUMP_CARD, learn_rows=60, seed=1, now=time.time()
    )


def test_simulated_rows_end_now_and_the_fault_begins_after_learning() -> None:
    scenario = pump_scenario()
    times = [at for at, _ in scenario.rows]
    assert times[-1] == pytest.approx(time.time(), abs=60)
    assert scenario.onset is not None
    assert sum(at < scenario.onset for at in times) > scenario.learn_rows
    assert scenario.simulated
    assert set(scenario.rows[0][1]) == set(scenario.card.signals)


def test_a_recording_needs_rows_enough_and_a_card_that_fits(tmp_path: Path) -> None:
    data, card = tmp_path / "r.csv", tmp_path / "c.toml"
    data.write_text("t,a\n" + "".join(f"{i},1\n" for i in range(50)), encoding="utf-8")
    card.write_text('equipment = "fan-*"\n[signals.a]\nunit = "V"\n', encoding="utf-8")
    scenario = recorded_scenario(data, card, learn_rows=30)
    assert scenario.equipment == "fan-"
    assert scenario.card.matches(scenario.equipment)
    assert not scenario.simulated
    with pytest.raises(BadPayload, match="50 rows, but 400 are needed"):
        recorded_scenario(data, card, learn_rows=400)
    card.write_text('equipment = "fan"\n[signals.b]\n', encoding="utf-8")
    with pytest.raises(BadConfig, match="none of its signals"):
        recorded_scenario(data, card, learn_rows=30)


def test_the_picture_follows_the_messages() -> None:
    picture = Picture("simulated-pump", learn_rows=3, total_rows=10)
    assert picture.take("edge/g/status", b'{"state": "online"}') == ["online"]
    for i in range(5):
        picture.take("plant/simulated-pump/telemetry", telemetry_payload(i, {"flow": 10.0 + i % 2}))
    assert picture.learned
    assert picture.traces["flow"].level == 10.0
    incident = {"incident_id": "i1", "phase": "opened", "reason": "flow fell"}
    where = "edge/g/incident/simulated-pump"
    assert picture.take(where, json.dumps(incident).encode()) == ["opened"]
    assert picture.take(where, json.dumps({**incident, "phase": "closed"}).encode()) == ["closed"]
    assert len(picture.incidents) == 1
    assert picture.take("edge/g/status", b"") == ["offline"]


def test_only_a_valid_diagnosis_counts_and_only_once() -> None:
    picture = Picture("simulated-pump", learn_rows=3, total_rows=10)
    topic = "edge/g/diagnosis/simulated-pump"
    good = diagnosis(at=2000.0).model_dump_json().encode()
    assert picture.take(topic, b'{"fault": "bearing"}') == ["complaint"]
    assert picture.take(topic, b"\xff\x00") == ["complaint"]
    assert picture.answer(None) is None
    assert picture.take(topic, good) == ["diagnosis"]
    assert picture.take(topic, good) == []
    assert picture.answer(2500.0) is None
    found = picture.answer(1500.0)
    assert found is not None
    assert found.diagnosis_id == "d1"


def test_a_diagnosis_that_names_no_fault_is_taken_only_in_the_end() -> None:
    picture = Picture("simulated-pump", learn_rows=3, total_rows=10)
    topic = "edge/g/diagnosis/simulated-pump"
    unsure = diagnosis(name="d0").model_copy(update={"verdict": "undetermined", "fault": None})
    picture.take(topic, unsure.model_dump_json().encode())
    assert picture.answer(None) is None
    patient = picture.answer(None, undetermined=True)
    assert patient is not None
    assert patient.diagnosis_id == "d0"
    picture.take(topic, diagnosis(name="d1").model_dump_json().encode())
    sure = picture.answer(None)
    assert sure is not None
    assert sure.diagnosis_id == "d1"


def test_the_view_shows_signals_incident_and_label() -> None:
    scenario = pump_scenario()
    picture = Picture(scenario.equipment, scenario.learn_rows, len(scenario.rows))
    for at, values in scenario.rows[:300]:
        picture.take("plant/simulated-pump/telemetry", telemetry_payload(at, values))
    picture.take(
        "edge/g/incident/simulated-pump",
        json.dumps(
            {
                "incident_id": "i1",
                "phase": "opened",
                "reason": "bearing_temperature [hot] left its normal",
                "evidence": [{"signal": "bearing_temperature", "direction": "up"}],
            }
        ).encode(),
    )
    text = drawn(live_view(picture, scenario.card, "Pump · SIMULATED", "12 s"))
    for expected in (
        "SIMULATED",
        "bearing_temperature",
        "°C",
        "watching",
        "incident opened",
        "[hot]",
    ):
        assert expected in text
    assert any(bar in text for bar in "▁█")


def test_the_view_shows_the_diagnosis_with_evidence_actions_and_cost() -> None:
    text = drawn(diagnosis_view(diagnosis(), simulated=True))
    for expected in (
        "Bearing wear with heat · 83% · critical",
        "simulated",
        "[drive end]",
        "+35.2",
        "▲ up",
        "1. Grease the bearing.",
        "rules alone (no model) · 2.5 s",
        "20 tokens/s",
    ):
        assert expected in text
    assert "governor full" in cost_line(diagnosis())


def test_numbers_have_four_digits() -> None:
    assert [number(v) for v in (0.0, 0.12345, 1.23456, 66.789, 123.45, 12345.6)] == [
        "0",
        "0.123",
        "1.235",
        "66.79",
        "123.5",
        "12346",
    ]


def test_a_line_of_noise_stays_low_and_a_shift_stands_out() -> None:
    trace = Trace()
    for i in range(200):
        trace.add(10.0 + 0.1 * (-1) ** (i // 4), learned=i >= 100)
    calm = sparkline(trace)
    assert len(set(calm)) <= 2
    for _ in range(40):
        trace.add(15.0, learned=True)
    assert sparkline(trace)[0] == "▁"
    assert sparkline(trace)[-1] == "█"
    assert sparkline(Trace()) == ""


def test_the_cards_of_the_repository_are_valid_toml() -> None:
    for path in CARDS.rglob("*.toml"):
        assert tomllib.loads(path.read_text(encoding="utf-8"))["faults"], path
