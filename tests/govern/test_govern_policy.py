"""The ladders: worst cause wins, at once; upward moves are slow."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.domain.level import Level
from edge_agent.govern.policy import LADDERS, ORDER, RANK, Cause, Standing, Stress, decide

HOLD = 30.0
ANY_STRESS = st.dictionaries(st.sampled_from(Cause), st.floats(-1, 60), max_size=7)


def step(stresses: dict[Cause, float], previous: Standing, now: float) -> Standing:
    return decide(
        {cause: Stress(value, f"{value:.2f}") for cause, value in stresses.items()},
        previous,
        now,
        HOLD,
    )


@pytest.mark.parametrize("cause", Cause)
def test_every_ladder_climbs_and_leaves_below_where_it_enters(cause: Cause) -> None:
    ladder = LADDERS[cause]
    assert [RANK[rung.level] for rung in ladder] == sorted(RANK[rung.level] for rung in ladder)
    enters = [rung.enter for rung in ladder]
    assert enters == sorted(enters)
    assert all(rung.leave < rung.enter for rung in ladder)


def test_the_worst_cause_wins_at_once_and_is_named() -> None:
    standing = step({Cause.POWER: 0.6, Cause.HEAT: 0.75}, Standing(), 5.0)
    assert standing.level is Level.RULES_ONLY
    assert standing.cause is Cause.HEAT
    assert "heat" in standing.reason


def test_back_up_one_step_per_hysteresis() -> None:
    standing = step({Cause.MEMORY: 1.2}, Standing(), 0.0)
    assert standing.level is Level.PAUSED
    seen: list[tuple[Level, int]] = []
    for second in range(1, 200):
        standing = step({Cause.MEMORY: 0.2}, standing, float(second))
        if not seen or seen[-1][0] is not standing.level:
            seen.append((standing.level, second))
    assert [level for level, _ in seen] == list(reversed(ORDER))
    gaps = [later - sooner for (_, sooner), (_, later) in itertools.pairwise(seen)]
    assert min(gaps) >= HOLD


def test_between_leave_and_enter_a_level_stays() -> None:
    standing = step({Cause.HEAT: 0.5}, Standing(), 0.0)
    for second in range(1, 500):
        standing = step({Cause.HEAT: 0.2}, standing, float(second))
    assert standing.level is Level.SHORT


@given(st.lists(st.tuples(st.floats(0.1, 40), ANY_STRESS), max_size=80))
def test_no_flapping_whatever_the_sensors_say(
    steps: list[tuple[float, dict[Cause, float]]],
) -> None:
    standing, now, rises = Standing(), 0.0, []
    for seconds, stresses in steps:
        now += seconds
        after = step(stresses, standing, now)
        worst = max(
            (
                RANK[rung.level]
                for cause, value in stresses.items()
                for rung in LADDERS[cause]
                if value >= rung.enter
            ),
            default=0,
        )
        assert RANK[after.level] >= worst, "never better than what a sensor demands"
        if RANK[after.level] < RANK[standing.level]:
            assert RANK[standing.level] - RANK[after.level] == 1
            rises.append(now)
        assert after.reason
        standing = after
    assert all(later - sooner >= HOLD for sooner, later in itertools.pairwise(rises))
