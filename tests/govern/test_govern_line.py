"""The power line that is learned from the sensor."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.govern import GovernSection
from edge_agent.govern.line import LEAST_PER_CORE, MOST_PER_CORE, PowerLine

SETTINGS = GovernSection(idle_watts=3.0, watts_per_core=4.0)


def test_it_starts_as_the_settings_say() -> None:
    line = PowerLine.from_settings(SETTINGS)
    assert line.idle_watts == pytest.approx(3.0)
    assert line.at(2.0) == pytest.approx(11.0)


@given(st.floats(0.5, 30), st.floats(0.5, 20), st.integers(0, 99))
def test_it_learns_what_the_sensor_shows(idle: float, per_core: float, seed: int) -> None:
    dice = random.Random(seed)
    line = PowerLine.from_settings(SETTINGS)
    for _ in range(3000):
        busy = dice.uniform(0, 2)
        line = line.after(1.0, busy, idle + per_core * busy + dice.gauss(0, 0.05))
    assert line.per_core == pytest.approx(per_core, abs=0.15 + 0.03 * per_core)
    assert line.idle_watts == pytest.approx(idle, abs=0.15 + 0.03 * idle)


def test_an_even_load_keeps_the_slope() -> None:
    line = PowerLine.from_settings(SETTINGS)
    for _ in range(20_000):
        line = line.after(1.0, 0.1, 5.0)
    assert LEAST_PER_CORE <= line.per_core <= MOST_PER_CORE
    assert line.at(0.1) == pytest.approx(5.0, abs=0.01)


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 512), st.floats(0, 3000)), max_size=50))
def test_whatever_comes_the_line_stays_a_line(steps: list[tuple[float, float, float]]) -> None:
    line = PowerLine.from_settings(SETTINGS)
    for seconds, busy, watts in steps:
        line = line.after(seconds, busy, watts)
    assert LEAST_PER_CORE <= line.per_core <= MOST_PER_CORE
    assert line.idle_watts >= 0
    assert PowerLine.load(line.dump()) == line


@pytest.mark.parametrize(
    "numbers", [[], [1.0] * 5, [0.0] * 6, [float("nan")] * 6, ["x"] * 6, [1.0] * 5 + [1e9]]
)
def test_garbage_is_no_line(numbers: list[float]) -> None:
    with pytest.raises((ValueError, TypeError)):
        PowerLine.load(numbers)
