"""Incidents that come back, grow, settle; and baselines that wander far."""

from __future__ import annotations

import numpy as np
from streams import Rows, detection, readings, rows, verdicts

from edge_agent.detect.incident import COOLING_ROWS, Hysteresis, State
from edge_agent.domain.finding import Finding, IncidentPhase


def opened(found: list[Finding]) -> list[Finding]:
    return [one for one in found if one.phase is IncidentPhase.OPENED]


def flapping(times: int, on: int = 40, off: int = 90) -> Rows:
    values = rows(300 + times * (on + off) + 500)
    for number in range(times):
        first = 300 + number * (on + off)
        values[first : first + on, 0] -= 6.0
    return values


def test_what_flaps_is_one_incident_that_counts_it() -> None:
    found = verdicts(flapping(6))
    assert len(opened(found)) == 1
    assert len({one.incident_id for one in found}) == 1
    assert [one.reopened for one in found] == sorted(one.reopened for one in found)
    assert found[-1].reopened == 5
    assert found[-1].phase is IncidentPhase.CLOSED


def test_patience_grows_with_each_return_and_ends_with_quiet() -> None:
    watch = Hysteresis()

    def feed(score: float, rows: int) -> None:
        for _ in range(rows):
            watch.step(score)

    for flaps in range(3):
        feed(2.0, 10)
        feed(0.0, 10 + COOLING_ROWS * (flaps + 1) - 12)
        assert (watch.state, watch.flaps) == (State.COOLING, flaps)
    feed(0.0, 13)
    assert (watch.state, watch.flaps) == (State.QUIET, 0)


def test_an_incident_that_grows_says_so() -> None:
    values = rows(800)
    values[300:400, 0] -= 3.0
    values[400:, 0] -= 12.0
    found = verdicts(values)
    assert len(opened(found)) == 1
    steady = [one.escalated for one in found if one.at - 1_000_000 < 400]
    assert set(steady) == {0}
    grown = [one for one in found if one.escalated > 0]
    assert grown
    assert grown[0].at - 1_000_000 < 430
    assert found[-1].escalated >= 1


def test_a_slow_fault_is_found_and_slow_wear_in_is_not() -> None:
    """The flow, which is steady by nature, loses 12 spreads in 25 minutes; the temperature, which
    wanders by nature, takes as long for as many."""
    values = rows(2200)
    ramp = np.clip((np.arange(2200) - 400) / 1500.0, 0.0, 1.0)
    spread = values[:200].std(axis=0)
    slow = values.copy()
    slow[:, 0] -= 12.0 * spread[0] * ramp
    assert [one.evidence[0].signal for one in opened(verdicts(slow))] == ["flow"]
    wear = values.copy()
    wear[:, 3] += 12.0 * spread[3] * ramp
    assert verdicts(wear) == []


def test_a_signal_that_wandered_far_is_still_watched() -> None:
    """300 spreads of drift in two hours: beyond all that could be told apart around the old
    centre. What it is now is still said as it is."""
    values = rows(8000)
    values[:, 3] += np.maximum(0.0, np.arange(8000) - 200) * 0.02
    spread = values[:200, 3].std()
    assert (values[7000, 3] - values[100, 3]) / spread > 300
    watch = detection()
    for batch in readings(values):
        watch.observe(batch)
    current = watch.current("pump-1")
    assert current is not None
    told = next(one for one in current.evidence if one.signal == "temperature")
    assert abs(told.now - values[-1, 3]) < 1.0


def test_what_settled_twice_counts_less() -> None:
    """A level that comes and goes for half an hour each, and stays: told, then less and less."""
    values = rows(9000)
    wave = (np.arange(9000) // 1000) % 2
    values[:, 3] += np.where(np.arange(9000) >= 1000, wave * 4.0, 0.0)
    found = verdicts(values)
    early = [one for one in opened(found) if one.opened_at - 1_000_000 < 4000]
    late = [one for one in opened(found) if one.opened_at - 1_000_000 >= 5000]
    assert len(late) < len(early)
