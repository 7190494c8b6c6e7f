"""What detection promises of any machine."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.config.detect import DetectSection
from edge_agent.detect.detection import Detection
from edge_agent.detect.incident import TABLE, Event, Hysteresis, State
from edge_agent.domain.card import Card, CardSignal
from edge_agent.domain.finding import Direction, Finding, IncidentPhase, Origin
from edge_agent.domain.telemetry import Quality, Reading
from edge_agent.errors import IllegalTransition
from edge_agent.simulate.faults import Fault, FaultName
from edge_agent.simulate.pump import PumpLoop

LEARN = 200
ONSET = 300
START = 1.7e9
Rows = Sequence[Mapping[str, float]]


def pump(fault: FaultName | None, rows: int = 480, seed: int = 7) -> list[dict[str, float]]:
    faults = [Fault(fault, onset_s=ONSET, develop_s=60)] if fault else []
    loop = PumpLoop(seed, faults)
    return [loop.step(1.0) for _ in range(rows)]


def readings(rows: Rows, start: float = START, first: int = 0) -> list[Reading]:
    return [
        Reading("pump", signal, value, start + first + number)
        for number, row in enumerate(rows)
        for signal, value in row.items()
    ]


def detection(card: Card | None = None) -> Detection:
    return Detection(DetectSection(learn_rows=LEARN), lambda _name: card, "gw")


def verdicts(found: Sequence[Finding]) -> list[tuple[str, float, str]]:
    return [(one.phase, round(one.at, 3), one.fingerprint) for one in found]


@pytest.mark.parametrize("fault", list(FaultName))
def test_every_simulated_fault_is_found_soon_and_no_sooner(fault: FaultName) -> None:
    found = detection().observe(readings(pump(fault)))
    assert found
    opened = found[0]
    assert opened.phase is IncidentPhase.OPENED
    assert ONSET <= opened.opened_at - START <= ONSET + 150
    assert any(one.phase is IncidentPhase.UPDATED for one in found)
    assert len({one.incident_id for one in found}) == 1
    assert [one.sequence for one in found] == list(range(len(found)))


@pytest.mark.parametrize("seed", range(4))
def test_a_healthy_machine_that_warms_up_opens_nothing(seed: int) -> None:
    assert detection().observe(readings(pump(None, 2500, seed))) == []


def test_a_stuck_sensor_is_told_from_a_sick_machine() -> None:
    stuck = detection().observe(readings(pump(FaultName.STUCK_SENSOR)))[-1]
    closing = detection().observe(readings(pump(FaultName.OUTLET_VALVE_CLOSING)))[-1]
    assert stuck.origin is Origin.SENSOR
    assert stuck.evidence[0].direction is Direction.FROZEN
    assert closing.origin is Origin.MACHINE


def test_evidence_carries_unit_baseline_and_distance() -> None:
    card = Card(equipment="pump", signals={"flow": CardSignal(unit="L/min")})
    found = detection(card).observe(readings(pump(FaultName.OUTLET_VALVE_CLOSING)))[-1]
    flow = next(one for one in found.evidence if one.signal == "flow")
    assert flow.unit == "L/min"
    assert flow.direction is Direction.DOWN
    assert flow.now < flow.baseline
    assert flow.sigma < -3
    assert flow.since is not None
    assert ONSET <= flow.since - START <= ONSET + 60
    assert [one.id for one in found.evidence] == [f"e{n + 1}" for n in range(len(found.evidence))]


def test_time_shift_changes_no_verdict() -> None:
    rows = pump(FaultName.LEAK)
    early = detection().observe(readings(rows))
    late = detection().observe(readings(rows, start=START + 1e6))
    assert [(p, a + 1e6, f) for p, a, f in verdicts(early)] == verdicts(late)


def test_units_change_no_verdict() -> None:
    rows = pump(FaultName.LEAK)
    scaled = [{name: 1000.0 * value + 273.0 for name, value in row.items()} for row in rows]
    assert verdicts(detection().observe(readings(rows))) == verdicts(
        detection().observe(readings(scaled))
    )


def test_the_order_of_signals_changes_no_verdict() -> None:
    rows = pump(FaultName.LEAK)
    shuffled = [dict(reversed(row.items())) for row in rows]
    assert verdicts(detection().observe(readings(rows))) == verdicts(
        detection().observe(readings(shuffled))
    )


def test_one_reading_at_a_time_is_the_same_as_all_at_once() -> None:
    found = readings(pump(FaultName.LEAK))
    whole = detection().observe(found)
    watch = detection()
    single = [one for reading in found for one in watch.observe([reading])]
    assert verdicts(single) == verdicts(whole)


def test_a_snapshot_goes_on_where_it_was_taken() -> None:
    rows = pump(FaultName.OUTLET_VALVE_CLOSING)
    cut = ONSET + 40
    straight = detection()
    expected = straight.observe(readings(rows))
    first = detection()
    before = first.observe(readings(rows[:cut]))
    second = detection()
    second.restore(first.snapshots())
    after = second.observe(readings(rows[cut:], first=cut))
    assert verdicts([*before, *after]) == verdicts(expected)
    assert first.snapshots() == {}


@given(st.binary(max_size=400))
def test_a_garbled_snapshot_only_means_learning_anew(data: bytes) -> None:
    watch = detection()
    watch.restore({"pump": data})
    assert watch.current("pump") is None


def test_a_truncated_snapshot_only_means_learning_anew() -> None:
    first = detection()
    first.observe(readings(pump(None, 300)))
    whole = first.snapshots()["pump"]
    for size in range(0, len(whole), 97):
        watch = detection()
        watch.restore({"pump": whole[:size]})
        assert watch.current("pump") is None


def test_a_constant_stream_never_alarms() -> None:
    rows = [{"a": 4.0, "b": 0.0}] * 3000
    assert detection().observe(readings(rows)) == []


def test_a_single_signal_is_watched_too() -> None:
    noise = random.Random(3)
    calm = [{"level": 10 + noise.gauss(0, 0.1)} for _ in range(600)]
    low = [{"level": 8 + noise.gauss(0, 0.1)} for _ in range(60)]
    watch = detection()
    assert watch.observe(readings(calm)) == []
    found = watch.observe(readings(low, first=600))
    assert found[0].evidence[0].direction is Direction.DOWN


def test_absurd_values_are_the_sensors_fault() -> None:
    rows = pump(None, 260)
    watch = detection()
    watch.observe(readings(rows))
    bad = [{**row, "flow": -1.2e42} for row in pump(None, 300)[260:]]
    found = watch.observe(readings(bad, first=260))
    assert found
    assert found[0].origin is Origin.SENSOR


def test_replays_and_stale_values_teach_nothing() -> None:
    watch = detection()
    watch.observe(
        [Reading("pump", "flow", 1.0, START + n, Quality.REPLAY) for n in range(LEARN * 2)]
    )
    assert watch.status()["pump"].rows == 0


def test_learning_shows_its_progress_and_can_begin_again() -> None:
    watch = detection()
    watch.observe(readings(pump(None, LEARN // 2)))
    assert watch.status()["pump"].state == "learning"
    assert watch.status()["pump"].learned == pytest.approx(0.5, abs=0.02)
    watch.observe(readings(pump(None, LEARN)[LEARN // 2 :], first=LEARN // 2))
    assert watch.status()["pump"].state == "quiet"
    assert watch.reset("pump")
    assert not watch.reset("nobody")
    assert watch.status()["pump"].learned == 0.0


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.floats(allow_nan=True, allow_infinity=True),
            st.floats(min_value=-1e10, max_value=1e12),
        ),
        max_size=400,
    )
)
def test_any_numbers_at_any_time_leave_detection_running(
    stream: list[tuple[str, float, float]],
) -> None:
    watch = Detection(DetectSection(learn_rows=30), lambda _name: None, "gw")
    for signal, value, at in stream:
        for found in watch.observe([Reading("pump", signal, value, at)]):
            assert math.isfinite(found.score)
    watch.flush()
    watch.snapshots()


def test_the_incident_table_is_the_only_way_to_move() -> None:
    for state in State:
        for event in Event:
            machine = Hysteresis(state)
            if (state, event) in TABLE:
                machine.move(event)
                assert machine.state is TABLE[state, event]
            else:
                with pytest.raises(IllegalTransition):
                    machine.move(event)
                assert machine.state is state
