"""Waves and their verdicts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.cli.waves import differences, members, next_revision, outcome_of, plan_waves
from edge_agent.errors import BadConfig

FLEET = [f"gw-{number}" for number in range(20)]


def test_steps_say_how_many_have_it_by_then() -> None:
    waves = plan_waves(FLEET, ["1", "10%", "all"])
    assert [len(wave) for wave in waves] == [1, 1, 18]
    assert [agent for wave in waves for agent in wave] == FLEET
    assert plan_waves(FLEET[:3], ["1", "10%", "all"]) == [["gw-0"], ["gw-1", "gw-2"]]
    assert plan_waves(FLEET, ["5"]) == [FLEET[:5]]


@pytest.mark.parametrize("step", ["", "%", "-1", "some", "1.5", "10%%", "٣", "9" * 20])
def test_a_step_that_is_none_is_refused(step: str) -> None:
    with pytest.raises(BadConfig):
        plan_waves(FLEET, [step])


@given(st.lists(st.integers(0, 200), max_size=5), st.integers(0, 30))
def test_nobody_is_pushed_to_twice(shares: list[int], count: int) -> None:
    agents = [str(number) for number in range(count)]
    waves = plan_waves(agents, [f"{share}%" for share in shares])
    flat = [agent for wave in waves for agent in wave]
    assert flat == agents[: len(flat)]
    assert all(waves)


def test_outcomes_are_those_of_this_very_document() -> None:
    confirmed = {"document": "d", "state": "confirmed", "reason": ""}
    assert outcome_of(confirmed, "d") == ("confirmed", "")
    assert outcome_of(confirmed, "e") is None
    assert outcome_of({**confirmed, "state": "probation"}, "d") is None
    refused = {**confirmed, "refused": {"document": "e", "reason": "goes back"}}
    assert outcome_of(refused, "e") == ("rejected", "goes back")
    assert outcome_of(None, "d") is None


def test_groups_and_revisions_come_from_what_is_reported() -> None:
    in_group: dict[str, Any] = {"effective": {"settings": {"rollout": {"groups": ["pumps"]}}}}
    reports: dict[str, dict[str, Any]] = {
        "b": in_group,
        "a": in_group,
        "c": {"effective": 7, "highest_revision": 9},
    }
    assert members(reports, "pumps") == ["a", "b"]
    assert members(reports, None) == ["a", "b", "c"]
    assert next_revision(reports.values()) == 10
    assert next_revision([]) == 1


def test_differences_name_the_keys() -> None:
    left = {"a": {"b": 1, "c": []}, "d": {}}
    assert differences(left, left) == {}
    assert differences(left, {"a": {"b": 2, "c": []}}) == {"a.b": (1, 2), "d": ({}, None)}
