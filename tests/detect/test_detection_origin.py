"""Sensor or machine, with the reason."""

from __future__ import annotations

import numpy as np
import pytest
from streams import Rows, detection, readings, rows, verdicts

from edge_agent.domain.finding import Finding, Origin
from edge_agent.domain.telemetry import Quality, Reading


def coupled(count: int, seed: int = 1) -> Rows:
    """(count, 4) three signals that one slow load moves together, and one of its own."""
    random = np.random.default_rng(seed)
    load = np.convolve(random.normal(0, 1, count + 30), np.ones(8) / 8, "valid")[:count]
    noise = random.normal(0, 1, (count, 4))
    return np.stack(
        (
            50 + 2.0 * load + 0.2 * noise[:, 0],
            3 + 0.2 * load + 0.02 * noise[:, 1],
            8 + 0.5 * load + 0.05 * noise[:, 2],
            60 + 0.3 * noise[:, 3],
        ),
        axis=1,
    )


def first_told(values: Rows) -> Finding:
    """The settled picture of the first incident."""
    found = verdicts(values)
    assert found
    return next((one for one in found if one.sequence == 1), found[0])


def test_one_signal_alone_against_neighbours_that_it_goes_with_is_the_sensor() -> None:
    values = coupled(700)
    values[400:, 0] += 5.0
    told = first_told(values)
    assert told.origin is Origin.SENSOR
    assert "pressure" in told.reason
    assert "did not move" in told.reason


def test_signals_that_move_together_are_the_machine() -> None:
    values = coupled(700)
    values[400:, :3] += (6.0, 0.6, 1.5)
    assert first_told(values).origin is Origin.MACHINE


def test_a_signal_that_goes_its_own_way_may_be_the_machine() -> None:
    values = coupled(700)
    values[400:, 3] += 5.0
    assert first_told(values).origin is Origin.MACHINE


@pytest.mark.parametrize(
    ("factor", "offset", "said"),
    [(100.0, 0.0, "bar and kPa"), (14.5038, 0.0, "bar and psi"), (0.01, 0.0, "bar and kPa")],
)
def test_a_jump_by_a_units_factor_is_the_sensor(factor: float, offset: float, said: str) -> None:
    values = rows(700)
    values[400:, 1] = values[400:, 1] * factor + offset
    told = verdicts(values)[0]
    assert told.origin is Origin.SENSOR
    assert f"a change of unit ({said}" in told.reason
    now = next(one.now for one in told.evidence if one.signal == "pressure")
    assert now == pytest.approx(values[-1, 1], rel=0.1) or factor < 1.0


@pytest.mark.parametrize(("factor", "offset"), [(1.8, 32.0), (1 / 1.8, -32.0 / 1.8), (1.0, 273.15)])
def test_so_is_one_to_another_zero(factor: float, offset: float) -> None:
    values = rows(700)
    values[400:, 3] = values[400:, 3] * factor + offset
    told = verdicts(values)[0]
    assert told.origin is Origin.SENSOR
    assert "a change of unit (°C and" in told.reason


def test_a_step_of_any_other_size_is_none() -> None:
    values = rows(700)
    values[400:, 1] *= 1.37
    assert "unit" not in first_told(values).reason


def test_a_value_that_is_another_one_after_a_pause_is_the_sensors() -> None:
    """A source that restarted: its rows stop, and one signal comes back elsewhere."""
    values = rows(700)
    values[400:, 0] -= 6.0
    watch = detection()
    found = []
    for number, batch in enumerate(readings(values)):
        late = 45.0 if number >= 400 else 0.0
        found += watch.observe(
            [Reading(r.equipment, r.signal, r.value, r.at + late) for r in batch]
        )
    assert found[0].origin is Origin.SENSOR
    assert "after 46 s in which nothing came" in found[0].reason


def test_a_signal_that_its_source_calls_stale_is_the_sensors() -> None:
    watch = detection()
    found = []
    for number, batch in enumerate(readings(rows(500))):
        stale = Quality.STALE if number >= 300 else Quality.GOOD
        found += watch.observe(
            [
                Reading(r.equipment, r.signal, r.value, r.at, stale if i == 1 else Quality.GOOD)
                for i, r in enumerate(batch)
            ]
        )
    assert found[0].origin is Origin.SENSOR
    assert found[0].reason == "pressure stopped coming while all other signals go on as usual"


def test_the_sensor_that_says_absurd_things_is_named() -> None:
    values = rows(400)
    values[300:, 2] = -1.2e42
    told = verdicts(values)[0]
    assert (told.origin, told.reason) == (
        Origin.SENSOR,
        "the sensor of current says things that cannot be",
    )
