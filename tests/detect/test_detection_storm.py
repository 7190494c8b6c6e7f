"""Many machines that alarm at once are one storm."""

from __future__ import annotations

import pytest

from edge_agent.detect.storm import CALM_S, MEMBERS_LEAST, TABLE, Front, Storm, Weather
from edge_agent.domain.finding import Finding, IncidentPhase, Window
from edge_agent.errors import IllegalTransition


def opened(number: int, at: float = 0.0) -> Finding:
    return Finding(
        incident_id=f"i{number}",
        phase=IncidentPhase.OPENED,
        equipment=f"pump-{number}",
        opened_at=at,
        at=at,
        score=1.2,
        reason="flow fell",
        window=Window(start=at, end=at),
        evidence=(),
        fingerprint=f"pump-{number}|flow:down",
    )


def test_a_flood_is_one_storm_that_grows_and_passes() -> None:
    storm = Storm("gw")
    said = [one for n in range(8) for one in storm.observe([opened(n)], 10.0 + n)]
    assert [one.phase for one in said] == [IncidentPhase.OPENED, *[IncidentPhase.UPDATED] * 3]
    assert "pump-0" in said[-1].reason
    assert "8 machines" in said[-1].reason
    assert storm.observe([], 17.0 + CALM_S - 1) == []
    (closed,) = storm.observe([], 17.0 + CALM_S)
    assert closed.phase is IncidentPhase.CLOSED
    assert {one.incident_id for one in (*said, closed)} == {said[0].incident_id}
    assert closed.sequence == 4
    assert storm.weather is Weather.CALM


def test_one_machine_that_flaps_and_incidents_far_apart_are_none() -> None:
    storm = Storm("gw")
    assert [one for n in range(50) for one in storm.observe([opened(1)], float(n))] == []
    storm = Storm("gw")
    assert [one for n in range(50) for one in storm.observe([opened(n)], 20.0 * n)] == []


def test_a_flood_of_thousands_is_bounded() -> None:
    storm = Storm("gw")
    said = storm.observe([opened(n) for n in range(5000)], 1.0)
    assert len(said) == 1
    assert len(storm.members) == len(storm.recent) <= 500
    assert len(said[0].reason) < 500


def test_the_table_is_the_only_way_to_move() -> None:
    for weather in Weather:
        for front in Front:
            storm = Storm("gw", weather)
            if (weather, front) in TABLE:
                storm.move(front)
                assert storm.weather is TABLE[weather, front]
            else:
                with pytest.raises(IllegalTransition):
                    storm.move(front)
    assert MEMBERS_LEAST > 1
