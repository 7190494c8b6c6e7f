"""The governor on a made-up sensor root: levels, memory, restart, objections."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.govern import GovernSection
from edge_agent.domain.level import Level
from edge_agent.govern.governor import Governor
from edge_agent.govern.objections import objections
from edge_agent.govern.sensors import Sensors

Put = Callable[[str, object], Path]
TEMPERATURE = "sys/class/thermal/thermal_zone0/temp"
WATTS = "sys/class/hwmon/hwmon0/power1_input"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def section(root: Path, put: Put) -> GovernSection:
    put("sys/class/hwmon/hwmon0/name", "ina226")
    put(WATTS, 3_000_000)
    put("sys/class/thermal/thermal_zone0/type", "cpu")
    put("sys/class/thermal/thermal_zone0/trip_point_0_type", "passive")
    put("sys/class/thermal/thermal_zone0/trip_point_0_temp", 85_000)
    put(TEMPERATURE, 50_000)
    put("proc/meminfo", "MemAvailable: 4000000 kB")
    return GovernSection(sensor_root=root, power_watts=6.0, memory_mb=600)


def governor(section: GovernSection, clock: Clock, state: bytes | None = None) -> Governor:
    return Governor(section, clock=clock, monotonic=clock, state=state)


def run(subject: Governor, clock: Clock, seconds: int) -> None:
    for _ in range(seconds):
        clock.now += 1.0
        subject.sample()


def test_status_says_what_was_measured(section: GovernSection, clock: Clock) -> None:
    subject = governor(section, clock)
    run(subject, clock, 5)
    status = subject.status()
    assert status.watts == pytest.approx(3.0)
    assert status.watts_measured
    assert "ina226" in status.watts_source
    assert status.headroom_c == pytest.approx(35)
    assert status.level is Level.FULL
    assert status.joules_in_store == pytest.approx(0.7 * 72 + 15)


def test_heat_slows_before_the_trip_point_and_the_rules_stay(
    section: GovernSection, clock: Clock, put: Put
) -> None:
    subject = governor(section, clock)
    put(TEMPERATURE, 70_000)
    run(subject, clock, 1)
    for millidegrees, level in [(78_000, "eco"), (81_000, "short"), (83_500, "rules-only")]:
        put(TEMPERATURE, millidegrees)
        run(subject, clock, 1)
        allowance = subject.admit(1, 600)
        assert allowance.level == level
        assert "heat" in allowance.reason
    assert subject.admit(0, 600).may_use_model is False, "the reserve is of joules, not of degrees"
    put(TEMPERATURE, "garbage")
    run(subject, clock, 200)
    assert subject.status().level is Level.SHORT
    assert "heat sensor lost" in subject.status().alarms


def test_memory_alarm_unloads_and_comes_back_smaller(
    section: GovernSection, clock: Clock, put: Put
) -> None:
    subject = governor(section, clock)
    before = subject.worker_memory_mb()
    assert 300 < before < 600
    put("proc/meminfo", "MemAvailable: 50000 kB")
    run(subject, clock, 1)
    assert subject.status().level is Level.PAUSED
    assert subject.worker_memory_mb() == 0
    assert subject.must_stop()
    put("proc/meminfo", "MemAvailable: 4000000 kB")
    run(subject, clock, 65)
    assert 0 < subject.worker_memory_mb() < before
    run(subject, clock, 600)
    assert subject.worker_memory_mb() == pytest.approx(before, abs=20)
    assert subject.status().level is Level.FULL


def test_a_worker_is_watched_and_may_end(section: GovernSection, clock: Clock) -> None:
    subject = governor(section, clock)
    subject.observe_worker(os.getpid())
    run(subject, clock, 2)
    assert subject.status().worker_mb > 5
    subject.worker_exited()
    run(subject, clock, 1)
    assert subject.status().worker_mb == 0
    subject.observe_worker(2**22 - 1)
    run(subject, clock, 1)
    assert subject.status().worker_mb == 0


def test_debt_and_costs_survive_a_restart(section: GovernSection, clock: Clock, put: Put) -> None:
    subject = governor(section, clock)
    put(WATTS, 20_000_000)
    run(subject, clock, 40)
    owed = subject.status().joules_in_store
    assert owed is not None
    assert owed < 0
    subject.admit(1, 600, "m")
    subject.charge(10.0, 15.0, 500, 100, 70.0)
    again = governor(section, clock, subject.snapshot())
    assert again.status().joules_in_store == pytest.approx(owed)
    assert again.status().level is Level.RULES_ONLY
    assert b'"m"' in again.snapshot()


def start_afresh(state: bytes) -> None:
    clock = Clock()
    subject = governor(GovernSection(power_watts=6.0), clock, state)
    assert subject.status().joules_in_store == pytest.approx(0.7 * 72)


@pytest.mark.parametrize(
    "state", [b'{"version": 3}', b'{"version": 9}', b"[]", b"null", b'{"version":3,"at":"x"}']
)
def test_a_state_of_another_version_starts_afresh(state: bytes) -> None:
    start_afresh(state)


def test_a_job_that_was_stopped_is_known_to_be_dear(
    section: GovernSection, clock: Clock, put: Put
) -> None:
    subject = governor(section, clock)
    assert subject.admit(1, 600, "m").wait_s == 0
    subject.observe_worker(os.getpid())
    worked = time.process_time()
    put(WATTS, 30_000_000)
    run(subject, clock, 10)
    assert subject.must_stop()
    before = subject.snapshot()
    while time.process_time() < worked + 0.1:
        sum(range(1000))
    run(subject, clock, 1)
    subject.charge(10.0, 0.0, 0, 0, None)
    assert b'"m"' not in before
    assert b'"m"' in subject.snapshot()


@given(state=st.binary(max_size=200))
def test_a_garbled_state_starts_afresh(state: bytes) -> None:
    start_afresh(state)


def test_charge_says_measured_only_where_a_sensor_did(
    section: GovernSection, clock: Clock, put: Put
) -> None:
    subject = governor(section, clock)
    run(subject, clock, 30)
    subject.observe_worker(os.getpid())
    put(WATTS, 8_000_000)
    run(subject, clock, 10)
    spent = subject.charge(10.0, 12.0, 500, 100, None)
    assert spent.measured
    assert spent.joules > 0
    blind = governor(GovernSection(sensor_root=section.sensor_root / "empty"), clock)
    run(blind, clock, 10)
    spent = blind.charge(10.0, 12.0, 500, 100, None)
    assert not spent.measured
    assert spent.joules == pytest.approx(48.0)


def test_settings_from_afar_change_the_budget_not_the_debt(
    section: GovernSection, clock: Clock, put: Put
) -> None:
    subject = governor(section, clock)
    put(WATTS, 20_000_000)
    run(subject, clock, 30)
    owed = subject.status().joules_in_store
    subject.apply(section.model_copy(update={"power_watts": 9.0}))
    status = subject.status()
    assert (status.budget_watts, status.joules_in_store) == (9.0, owed)
    subject.apply(section.model_copy(update={"power_watts": None}))
    run(subject, clock, 100)
    assert subject.admit(1, 600).may_use_model


def test_peak_power_bounds_the_threads(section: GovernSection, clock: Clock) -> None:
    low = governor(section.model_copy(update={"power_peak_watts": 6.5}), clock)
    allowance = low.admit(1, 600)
    assert allowance.level is Level.RULES_ONLY
    assert "peak" in allowance.reason
    high = governor(section.model_copy(update={"power_peak_watts": 7.5}), clock)
    assert high.admit(1, 600).threads == 1


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"power_watts": 2.5}, "idle power"),
        ({"power_watts": 3.1}, "a tenth"),
        ({"power_watts": 8.0, "power_peak_watts": 7.2}, "average"),
        ({"power_watts": 4.0, "power_peak_watts": 5.0}, "one busy core"),
        ({"memory_mb": 100}, "smallest model"),
        ({"power_watts": 6.0, "power_window_s": 10}, "window"),
    ],
)
def test_contradictory_budgets_are_objected_to(change: dict[str, float], word: str) -> None:
    found = objections(GovernSection(**change))  # type: ignore[arg-type]
    assert any(word in line for line in found), found


def test_sensible_budgets_are_not_objected_to(section: GovernSection) -> None:
    readings = Sensors(section).sample(0.0)
    assert objections(section, readings) == []
    hungry = section.model_copy(update={"memory_mb": 100_000, "power_sensor": "rapl"})
    readings = Sensors(hungry).sample(0.0)
    found = objections(hungry, readings)
    assert any("host can spare" in line for line in found)
    assert any("does not answer" in line for line in found)
