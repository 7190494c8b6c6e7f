"""The simulated pump moves its signals as a real loop would."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent.cli.demo import CARDS
from edge_agent.config.load import read_toml, validate
from edge_agent.domain.card import SYMPTOM_WORDS, Card
from edge_agent.simulate.faults import Fault, FaultName
from edge_agent.simulate.hydraulics import (
    BEST_FLOW,
    Loop,
    cavitation_of,
    operating_point,
    shaft_power,
    vapour_pressure,
)
from edge_agent.simulate.motor import Heat, drive, settled, warmer
from edge_agent.simulate.pump import PumpLoop, pump_rows
from edge_agent.simulate.sensors import SENSORS

ONSET = 300.0
SPREADS = 4.0
"""A signal has moved when its mean did so by this many standard deviations of a single reading."""


def play(fault: FaultName | None, seed: int = 1) -> dict[str, NDArray[np.float64]]:
    faults = [Fault(fault, ONSET, 60.0)] if fault else []
    rows = [readings for _, readings in pump_rows(faults, seed=seed, rate=1.0, duration=600.0)]
    return {name: np.array([row[name] for row in rows]) for name in SENSORS}


def moved(fault: FaultName, seed: int = 1) -> dict[str, float]:
    """Each signal's shift by the developed fault against the same run without it, in spreads."""
    sick, well = play(fault, seed), play(None, seed)
    return {
        name: float((sick[name][480:].mean() - well[name][480:].mean()) / well[name][:300].std())
        for name in SENSORS
    }


EXPECTED: dict[FaultName, dict[str, str]] = {
    FaultName.INLET_VALVE_CLOSING: {
        "flow": "down",
        "suction_pressure": "down",
        "discharge_pressure": "down",
        "motor_current": "down",
        "motor_temperature": "same",
    },
    FaultName.OUTLET_VALVE_CLOSING: {
        "flow": "down",
        "suction_pressure": "up",
        "discharge_pressure": "up",
        "motor_current": "down",
    },
    FaultName.LEAK: {
        "flow": "down",
        "suction_pressure": "down",
        "discharge_pressure": "down",
        "motor_current": "up",
        "vibration": "same",
    },
    FaultName.CAVITATION: {
        "flow": "down",
        "suction_pressure": "down",
        "discharge_pressure": "down",
        "motor_current": "down",
        "vibration": "up",
    },
    FaultName.IMBALANCE: {
        "vibration": "up",
        "flow": "same",
        "discharge_pressure": "same",
        "motor_current": "same",
        "bearing_temperature": "same",
    },
    FaultName.BEARING_WEAR: {
        "vibration": "up",
        "bearing_temperature": "up",
        "motor_current": "up",
        "flow": "same",
        "discharge_pressure": "same",
    },
    FaultName.BLOCKED_COOLING: {
        "motor_temperature": "up",
        "flow": "same",
        "motor_current": "same",
        "vibration": "same",
    },
    FaultName.DRIFTING_SENSOR: {
        "discharge_pressure": "up",
        "flow": "same",
        "suction_pressure": "same",
        "motor_current": "same",
        "vibration": "same",
    },
}


@pytest.mark.parametrize("fault", EXPECTED, ids=str)
def test_a_fault_moves_the_signals_that_it_moves_in_a_real_loop(fault: FaultName) -> None:
    shifts = moved(fault)
    for signal, direction in EXPECTED[fault].items():
        shift = shifts[signal]
        if direction == "same":
            assert abs(shift) < SPREADS, (signal, shift)
        else:
            assert (shift if direction == "up" else -shift) > SPREADS, (signal, shift)


@pytest.mark.parametrize("fault", EXPECTED, ids=str)
def test_the_card_says_what_the_simulator_does(fault: FaultName) -> None:
    """Else the demonstration would blame the diagnosis for a wrong card."""
    path = CARDS / "simulated-pump.toml"
    card = validate(Card, read_toml(path), where=str(path))
    described = next(f for f in card.faults if f.id == fault.value)
    shifts = moved(fault)
    for signal, word in described.symptoms.items():
        direction = SYMPTOM_WORDS[word]
        if direction == "normal":
            assert abs(shifts[signal]) < SPREADS, (signal, shifts[signal])
        else:
            sign = {"up": 1, "down": -1}[direction]
            assert sign * shifts[signal] > SPREADS, (signal, shifts[signal])


def test_a_stuck_sensor_repeats_one_value_and_the_machine_runs_on() -> None:
    rows = play(FaultName.STUCK_SENSOR)
    well = play(None)
    assert len(set(rows["flow"][301:])) == 1
    assert len(set(rows["flow"][:300])) > 100
    for name in SENSORS:
        if name != "flow":
            np.testing.assert_array_equal(rows[name], well[name])


def test_blocked_cooling_heats_slowly_because_the_motor_has_mass() -> None:
    rows = play(FaultName.BLOCKED_COOLING)["motor_temperature"]
    per_minute = (rows[590:].mean() - rows[400:410].mean()) / (190 / 60)
    assert 0.3 < per_minute < 4.0


def test_a_drained_tank_ends_in_cavitation() -> None:
    fault = Fault(FaultName.LEAK, 0.0, 0.0)
    loop = PumpLoop(seed=2, faults=[fault])
    rows = [loop.step(1.0) for _ in range(2400)]
    early = np.mean([r["vibration"] for r in rows[60:120]])
    late = np.mean([r["vibration"] for r in rows[-60:]])
    assert late > 1.5 * early


def test_a_cold_machine_warms_up_and_a_warm_one_is_nearly_there() -> None:
    cold, warm = PumpLoop(seed=1, warm=False), PumpLoop(seed=1)
    cold_start, warm_start = cold.step(), warm.step()
    for _ in range(7200):
        cold_end, warm_end = cold.step(), warm.step()
    assert cold_end["motor_temperature"] - cold_start["motor_temperature"] > 20
    assert abs(warm_end["motor_temperature"] - warm_start["motor_temperature"]) < 5


def test_the_same_seed_gives_the_same_readings_and_another_seed_others() -> None:
    assert [PumpLoop(seed=5).step() for _ in range(3)] == [
        PumpLoop(seed=5).step() for _ in range(3)
    ]
    assert PumpLoop(seed=5).step() != PumpLoop(seed=6).step()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    fault=st.sampled_from(FaultName),
    severity=st.floats(0.05, 1.0),
    dt=st.floats(0.05, 5.0),
)
def test_whatever_happens_readings_stay_physical(
    seed: int, fault: FaultName, severity: float, dt: float
) -> None:
    loop = PumpLoop(seed, [Fault(fault, 20.0, 30.0, severity)])
    for _ in range(120):
        row = loop.step(dt)
        assert set(row) == set(SENSORS)
        assert all(np.isfinite(v) for v in row.values())
        assert -2.0 <= row["flow"] <= 200.0
        assert -1.013 <= row["suction_pressure"] <= 1.0
        assert -0.2 <= row["discharge_pressure"] <= 4.0
        assert 0.5 <= row["motor_current"] <= 4.0
        assert 0.0 <= row["vibration"] <= 30.0
        assert 0.0 <= row["fluid_temperature"] <= 100.0


@given(a=st.floats(0.05, 1.0), b=st.floats(0.05, 1.0))
def test_the_more_closed_outlet_gives_less_flow_more_pressure_less_power(
    a: float, b: float
) -> None:
    narrow, wide = (operating_point(Loop(2.0, outlet_opening=x)) for x in sorted((a, b)))
    assert narrow.flow <= wide.flow + 1e-9
    assert narrow.discharge_head >= wide.discharge_head - 1e-6
    assert shaft_power(narrow) <= shaft_power(wide) + 1e-6


@given(a=st.floats(0.05, 1.0), b=st.floats(0.05, 1.0))
def test_the_more_closed_inlet_gives_less_flow_and_less_suction(a: float, b: float) -> None:
    narrow, wide = (operating_point(Loop(2.0, inlet_opening=x)) for x in sorted((a, b)))
    assert narrow.flow <= wide.flow + 1e-9
    assert narrow.suction_head <= wide.suction_head + 1e-6


@given(leak=st.floats(0.0, 3e-4))
def test_what_the_pump_moves_is_what_arrives_and_what_leaks(leak: float) -> None:
    point = operating_point(Loop(2.0, leak=leak))
    assert point.pump_flow == pytest.approx(point.flow + point.leak_flow)
    assert point.pump_flow >= operating_point(Loop(2.0)).pump_flow - 1e-9


def test_the_healthy_pump_runs_at_its_best_point_without_cavitation() -> None:
    point = operating_point(Loop(2.0))
    assert point.flow == pytest.approx(BEST_FLOW, rel=0.02)
    assert cavitation_of(point, 2.0, 35.0) == 0.0


def test_vapour_pressure_agrees_with_the_steam_tables() -> None:
    # IAPWS: 2.339 kPa at 20 °C, 19.95 kPa at 60 °C, 101.4 kPa at 100 °C.
    for celsius, kilopascal in ((20.0, 2.339), (60.0, 19.95), (100.0, 101.4)):
        assert vapour_pressure(celsius) / 1000.0 == pytest.approx(kilopascal, rel=0.01)


def test_current_and_loss_grow_with_load() -> None:
    drives = [drive(watts, 400.0) for watts in (200.0, 600.0, 1100.0)]
    assert all(a.current < b.current and a.loss < b.loss for a, b in pairwise(drives))
    assert drives[-1].current == pytest.approx(2.3, abs=0.4)  # nameplates of 1.1 kW at 400 V


@given(
    motor=st.floats(20, 400),
    friction=st.floats(0, 60),
    fluid=st.floats(0, 900),
    room=st.floats(5, 40),
)
def test_the_settled_temperatures_are_the_balance(
    motor: float, friction: float, fluid: float, room: float
) -> None:
    heat = Heat(motor, friction, fluid)
    before = settled(heat, room)
    after = warmer(before, heat, dt=10.0, room=room, blocked=0.0)
    assert after.motor == pytest.approx(before.motor, abs=1e-6)
    assert after.bearing == pytest.approx(before.bearing, abs=1e-6)
    assert after.fluid == pytest.approx(before.fluid, abs=1e-6)


def test_a_fault_grows_from_its_onset_and_stays() -> None:
    fault = Fault(FaultName.LEAK, 100.0, 50.0, severity=0.8)
    assert fault.progress(99.9) == 0.0
    assert fault.progress(125.0) == pytest.approx(0.4)
    assert fault.progress(1e6) == 0.8


def test_a_fault_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="severity"):
        Fault(FaultName.LEAK, 0.0, severity=1.5)
    with pytest.raises(ValueError, match="no sensor 'flux'"):
        PumpLoop(0, [Fault(FaultName.STUCK_SENSOR, 0.0, signal="flux")])
