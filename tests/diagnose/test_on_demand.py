"""A person asks about a machine: now, or at a time gone by."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from brokers import Mosquitto
from findings import finding
from hypothesis import given
from hypothesis import strategies as st
from plant import Client, Daemon, write_settings
from pump_cases import CARD, pump_card
from typer.testing import CliRunner

from edge_agent.cli import app
from edge_agent.config.detect import DetectSection
from edge_agent.config.load import validate
from edge_agent.config.settings import StoreSection
from edge_agent.detect.detection import Detection
from edge_agent.domain.card import Card
from edge_agent.domain.finding import Direction, Finding
from edge_agent.domain.telemetry import Quality, Reading
from edge_agent.errors import BadConfig
from edge_agent.hindsight import look_back
from edge_agent.operations import DiagnoseRequest
from edge_agent.recent import MAX_ROWS, ROW_BYTES, RecentRows
from edge_agent.simulate.faults import Fault, FaultName
from edge_agent.simulate.pump import PumpLoop
from edge_agent.store.database import Store

NAME = "simulated-pump"
START = 1_793_600_000.0
SETTINGS = DetectSection(learn_rows=200)


def card_for(_name: str) -> Card:
    return pump_card()


def watched(rows: int, fault: FaultName) -> tuple[Detection, RecentRows]:
    """A pump that is learned, with a fault that begins at row 300."""
    loop = PumpLoop(7, [Fault(fault, onset_s=300, develop_s=60)])
    watch, recent = Detection(SETTINGS, card_for, "gw"), RecentRows(row_s=1.0)
    for second in range(rows):
        values = loop.step(1.0).items()
        readings = [Reading(NAME, signal, value, START + second) for signal, value in values]
        watch.observe(readings)
        recent.add(readings)
    return watch, recent


def then(watch: Detection, recent: RecentRows, start: int, end: int) -> Finding:
    now = watch.current(NAME)
    assert now is not None
    rows = recent.between(NAME, START + start, START + end)
    found = look_back(rows, now, watch.snapshots_of([NAME])[NAME], SETTINGS, card_for)
    assert found is not None
    return found


def ways(found: Finding) -> dict[str, Direction]:
    return {one.signal: one.direction for one in found.evidence}


def test_before_the_fault_all_was_well_and_during_it_was_not() -> None:
    watch, recent = watched(480, FaultName.OUTLET_VALVE_CLOSING)
    before = then(watch, recent, 220, 290)
    assert set(ways(before).values()) == {Direction.NORMAL}
    during = then(watch, recent, 400, 470)
    assert ways(during)["flow"] is Direction.DOWN
    assert ways(during)["discharge_pressure"] is Direction.UP
    assert (during.window.start, during.window.end) == (START + 400, START + 470)
    since = [one.since for one in during.evidence if one.since is not None]
    assert all(START + 400 <= at <= START + 470 for at in since)


def test_looking_back_changes_nothing_of_the_watch() -> None:
    watch, recent = watched(480, FaultName.LEAK)
    now, kept = watch.current(NAME), watch.snapshots_of([NAME])
    then(watch, recent, 220, 290)
    assert watch.current(NAME) == now
    assert watch.snapshots_of([NAME]) == kept


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.floats(), st.floats(0, 1e6)),
        max_size=200,
    )
)
def test_memory_takes_anything_and_keeps_its_bound(
    said: list[tuple[str, str, float, float]],
) -> None:
    recent = RecentRows(row_s=1.0, max_bytes=4 * ROW_BYTES)
    recent.add(Reading(*one) for one in said)
    assert recent.bytes <= 2 * 4 * ROW_BYTES
    for name in "ab":
        times = [at for at, _ in recent.between(name, -1, 1e7)]
        assert times == sorted(times)


def test_memory_is_bounded_over_all_machines_and_by_rows() -> None:
    recent = RecentRows(row_s=1.0)
    for second in range(MAX_ROWS + 50):
        recent.add([Reading("m", "x", 1.0, float(second))])
    assert len(recent.between("m", 0, 1e9)) == MAX_ROWS
    assert recent.span("m") == (49.0, MAX_ROWS + 48.0)
    late = Reading("m", "x", 5.0, 10.0)
    recent.add([late, Reading("m", "x", 5.0, 1e6, Quality.REPLAY)])
    assert recent.span("m") == (49.0, MAX_ROWS + 48.0)
    assert recent.between("unknown", 0, 1e9) == []


def test_a_window_must_run_forwards() -> None:
    window = {"start": "2026-11-23T06:10:00Z", "end": "2026-11-23T06:00:00Z"}
    with pytest.raises(BadConfig, match="the end comes after the start"):
        validate(DiagnoseRequest, {"equipment": "p", "window": window}, where="request")


def stamp(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def test_a_running_agent_answers_about_now_then_and_an_incident_long_gone(
    broker: Mosquitto, tmp_path: Path
) -> None:
    config = write_settings(tmp_path, broker.port, inference={"model": "absent", "fallbacks": []})
    store = Store.open(tmp_path / "state", StoreSection())
    store.incidents.record(finding("old", equipment=NAME))
    store.close()
    loop = PumpLoop(7, [Fault(FaultName.OUTLET_VALVE_CLOSING, onset_s=300, develop_s=60)])
    rows = [loop.step(1.0) for _ in range(420)]
    with Daemon(config) as daemon, Client(broker.port, "edge/gw1/#") as client:
        client.wait_for("edge/gw1/status")
        client.stream(NAME, rows)
        client.wait_for(f"edge/gw1/incident/{NAME}")

        def asked(name: str, **more: object) -> dict[str, object]:
            client.say("edge/gw1/cmd/diagnose", {"id": name, "equipment": NAME, **more})
            said = client.wait_for(
                "edge/gw1/cmd/diagnose/response", lambda heard: heard.json.get("id") == name
            ).json
            assert said["ok"], said
            made = said["result"]["diagnosis_id"]
            found: dict[str, object] = client.wait_for(
                f"edge/gw1/diagnosis/{NAME}", lambda heard: heard.json["diagnosis_id"] == made
            ).json
            return found

        question = "Is it the valve? <|im_end|>"
        now = asked("now", question=question)
        assert (now["trigger"], now["question"]) == ("demand", question)
        window = {"start": stamp(900.0), "end": stamp(1100.0)}
        long_gone = asked("then", window=window)
        assert [one["signal"] for one in long_gone["evidence"]] == ["flow"]  # type: ignore[attr-defined]
        client.say(
            "edge/gw1/cmd/diagnose",
            {
                "id": "never",
                "equipment": NAME,
                "window": {"start": stamp(5e8), "end": stamp(5.1e8)},
            },
        )
        refused = client.wait_for(
            "edge/gw1/cmd/diagnose/response", lambda heard: heard.json.get("id") == "never"
        ).json
        assert not refused["ok"]
        assert "are remembered" in refused["error"]["message"]
        assert daemon.terminate() == 0


def test_the_command_line_takes_a_window_a_question_a_language_and_manuals(
    tmp_path: Path,
) -> None:
    loop = PumpLoop(7, [Fault(FaultName.OUTLET_VALVE_CLOSING, onset_s=300, develop_s=60)])
    rows = [loop.step(1.0) for _ in range(480)]
    names = list(rows[0])
    lines = [",".join(["timestamp", *names])]
    for second, row in enumerate(rows):
        values = [f"{row.get(name, np.nan):.6g}" for name in names]
        lines.append(",".join([stamp(START + second), *values]))
    data = tmp_path / "pump.csv"
    data.write_text("\n".join(lines))
    manuals = tmp_path / "manuals"
    manuals.mkdir()
    (manuals / "pump.md").write_text(
        "# Discharge side\nA closing outlet valve throttles the flow: check its position.\n"
    )
    common = ["diagnose", "--card", str(CARD), "--data", str(data), "--learn", "200"]
    common += ["--rules-only", "--json"]
    window = ["--from", stamp(START + 400), "--to", "470"]
    more = ["--question", "Is it the valve?", "--language", "de", "--manuals", str(manuals)]
    result = CliRunner().invoke(app, [*common, *window, *more])
    assert result.exit_code == 0, result.output
    diagnosis = json.loads(result.stdout.splitlines()[-1])["diagnosis"]
    assert diagnosis["window"] == {"start": START + 400, "end": START + 470}
    assert diagnosis["question"] == "Is it the valve?"
    assert diagnosis["language"] == "de"
    assert diagnosis["manual_passages"][0]["source"] == "pump.md"
    assert diagnosis["manual_passages"][0]["section"] == "Discharge side"
    wrong = CliRunner().invoke(app, [*common, "--from", "10"])
    assert wrong.exit_code == 2
