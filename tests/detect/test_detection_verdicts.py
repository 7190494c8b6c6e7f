"""Faults open incidents, normal operation does not, and nothing that a sensor says raises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import SIGNALS, detection, readings, rows, verdicts

from edge_agent.domain.finding import Direction, IncidentPhase, Origin
from edge_agent.domain.telemetry import Reading


@pytest.mark.parametrize("seed", range(4))
def test_normal_operation_with_warm_up_stays_quiet(seed: int) -> None:
    assert verdicts(rows(1500, seed=seed, drift=1.5)) == []


def test_a_constant_stream_never_alarms() -> None:
    assert verdicts(np.full((1000, 4), 7.0)) == []


def test_a_step_opens_within_tens_of_rows_and_closes_by_itself() -> None:
    values = rows(900)
    values[400:600, 0] -= 6.0
    findings = verdicts(values)
    assert findings[0].phase is IncidentPhase.OPENED
    assert 0 <= findings[0].opened_at - 1_000_400 <= 40
    top = findings[0].evidence[0]
    assert (top.signal, top.direction) == ("flow", Direction.DOWN)
    assert findings[-1].phase is IncidentPhase.CLOSED
    assert findings[-1].closed_at is not None
    assert 0 <= findings[-1].closed_at - 1_000_600 <= 80
    assert [f.sequence for f in findings] == list(range(len(findings)))
    assert len({f.incident_id for f in findings}) == 1


def test_a_settled_picture_follows_the_opening() -> None:
    values = rows(600)
    values[400:, 0] -= 6.0
    updates = [f for f in verdicts(values) if f.phase is IncidentPhase.UPDATED]
    assert updates
    assert updates[0].at - updates[0].opened_at >= 20.0


def test_a_frozen_sensor_is_no_fault_of_the_machine() -> None:
    values = rows(800)
    values[400:, 0] = values[399, 0]
    findings = verdicts(values)
    assert findings
    assert findings[-1].origin is Origin.SENSOR
    assert findings[-1].evidence[0].direction is Direction.FROZEN


@pytest.mark.parametrize("said", [math.nan, math.inf, -1.2e42])
def test_absurd_values_are_the_sensors_fault(said: float) -> None:
    values = rows(600)
    values[400:, 1] = said
    findings = verdicts(values)
    assert findings
    assert findings[0].origin is Origin.SENSOR


def test_a_single_spike_opens_nothing() -> None:
    values = rows(600)
    values[400, 0] = 5000.0
    assert verdicts(values) == []


def test_a_single_signal_is_watched() -> None:
    values = rows(700)[:, :1]
    values[450:] -= 6.0
    findings = verdicts(values, SIGNALS[:1])
    assert findings[0].phase is IncidentPhase.OPENED


def test_one_signal_per_message_works_as_well() -> None:
    values = rows(500)
    values[350:, 0] -= 6.0
    watch = detection()
    findings = [
        found for batch in readings(values) for one in batch for found in watch.observe([one])
    ]
    assert findings[0].phase is IncidentPhase.OPENED


def test_the_slower_signal_holds_its_value() -> None:
    values = rows(700)
    watch = detection()
    findings = [
        found
        for number, batch in enumerate(readings(values))
        for found in watch.observe(batch if number % 10 == 0 else batch[:3])
    ]
    assert findings == []
    assert watch.status()["pump-1"].rows >= 690


def test_a_gap_in_time_opens_nothing() -> None:
    watch = detection()
    before, after = rows(700)[:400], rows(700)[400:]
    findings = [f for batch in readings(before) for f in watch.observe(batch)]
    findings += [f for b in readings(after, start=1_009_000.0) for f in watch.observe(b)]
    assert findings == []


def test_learning_shows_its_progress() -> None:
    watch = detection(200)
    for batch in readings(rows(50)):
        watch.observe(batch)
    status = watch.status()["pump-1"]
    assert (status.state, status.learned) == ("learning", 0.25)
    assert watch.current("pump-1") is None
    assert watch.current("unknown") is None


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(SIGNALS),
            st.floats(allow_nan=True, allow_infinity=True),
            st.floats(-10, 10),
        ),
        max_size=120,
    )
)
def test_no_reading_raises(cells: list[tuple[str, float, float]]) -> None:
    watch = detection(30)
    at = 1_000_000.0
    for signal, value, step in cells:
        at += step
        watch.observe([Reading("pump-1", signal, value, at)])
    watch.flush()
    watch.current("pump-1")


def test_memory_stays_flat() -> None:
    """The state's size after 4,000 rows is that after 1,000."""
    watch = detection()
    sizes = []
    for number, batch in enumerate(readings(rows(4000))):
        watch.observe(batch)
        if number in (1000, 3999):
            watch.reset("nobody")
            sizes.append(len(watch.snapshots()["pump-1"]))
    assert sizes[1] - sizes[0] < 200
