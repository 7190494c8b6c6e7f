"""What is wrong with the budgets before anything runs: contradictions, in words. Pure."""

from __future__ import annotations

from edge_agent.config.govern import GovernSection
from edge_agent.govern.budget import CAPACITY_SHARE
from edge_agent.govern.estimate import estimate
from edge_agent.govern.vitals import Vitals

DAEMON_MB = 64.0
SMALLEST_MODEL_MB = 150.0
"""The embedded model with a short context, resident."""


def objections(settings: GovernSection, readings: Vitals | None = None) -> list[str]:
    """Every contradiction, as a sentence that says what to change. ``readings``: a sample of the
    sensors on the machine; without it only the settings are looked at."""
    return [*_power(settings, readings), *_memory(settings, readings), *_heat(readings)]


def _power(settings: GovernSection, readings: Vitals | None) -> list[str]:
    found = []
    budget, peak = settings.power_watts, settings.power_peak_watts
    base = settings.idle_watts
    source = f"idle_watts = {base:g}"
    if readings is not None and readings.watts.value is not None:
        busy = readings.busy_cores.value or 0.0
        base = max(
            0.0,
            readings.watts.value + settings.power_offset_watts - busy * settings.watts_per_core,
        )
        source = f"{base:.1f} W idle by {readings.watts.reason}"
    if budget is not None and budget <= base:
        found.append(
            f"power_watts = {budget:g} is not above idle power ({source}): the model would never "
            "run and only rules would answer; raise power_watts or correct idle_watts"
        )
    elif budget is not None and budget - base < 0.1 * settings.watts_per_core:
        found.append(
            f"power_watts = {budget:g} leaves {budget - base:.2f} W above idle power ({source}), "
            f"less than a tenth of one busy core ({settings.watts_per_core:g} W): most diagnoses "
            "will be the rules' alone"
        )
    if peak is not None and peak < base + settings.watts_per_core:
        found.append(
            f"power_peak_watts = {peak:g} is below idle power and one busy core "
            f"({base + settings.watts_per_core:.1f} W): the model could never run"
        )
    if peak is not None and budget is not None and peak < budget:
        found.append(
            f"power_peak_watts = {peak:g} is below the average power_watts = {budget:g}: "
            "the average can then never be used up; set the peak above it"
        )
    if budget is not None and CAPACITY_SHARE * budget * settings.power_window_s < (
        settings.watts_per_core
    ):
        found.append(
            f"power_window_s = {settings.power_window_s:g} at {budget:g} W holds less than one "
            "core-second in store: nearly every diagnosis must be stopped; lengthen the window"
        )
    if readings is not None and budget is not None and readings.watts.value is None:
        found += _unmeasured(settings, readings, budget)
    return found


def _unmeasured(settings: GovernSection, readings: Vitals, budget: float) -> list[str]:
    if settings.power_sensor not in ("auto", "estimate"):
        return [
            f'power_sensor = "{settings.power_sensor}" does not answer ({readings.watts.reason}): '
            "watts are estimated"
        ]
    if readings.busy_cores.value is not None:
        return []
    careful = estimate(settings, readings)
    return [
        f"neither a power sensor nor /proc/stat can be read: {careful:.1f} W are assumed all the "
        f"time against power_watts = {budget:g}"
    ]


def _memory(settings: GovernSection, readings: Vitals | None) -> list[str]:
    found = []
    if settings.memory_mb < DAEMON_MB + SMALLEST_MODEL_MB:
        found.append(
            f"memory_mb = {settings.memory_mb} is below daemon and smallest model "
            f"({DAEMON_MB + SMALLEST_MODEL_MB:.0f} MB): only rules would answer"
        )
    if readings is None:
        return found
    memory = readings.memory
    if memory.available.value is not None:
        spare = memory.available.value + memory.ours_mb - settings.host_reserve_mb
        if spare < settings.memory_mb:
            found.append(
                f"memory_mb = {settings.memory_mb} is more than the host can spare now "
                f"({spare:.0f} MB beside host_reserve_mb = {settings.host_reserve_mb})"
            )
    if memory.group_room.value is not None:
        room = memory.group_room.value + memory.ours_mb
        if room < settings.memory_mb:
            found.append(
                f"memory_mb = {settings.memory_mb} is more than the control group's limit leaves "
                f"({room:.0f} MB): the kernel would kill before the budget is reached"
            )
    return found


def _heat(readings: Vitals | None) -> list[str]:
    headroom = None if readings is None else readings.heat.headroom_c.value
    if readings is None or headroom is None or headroom > 0:
        return []
    return [
        f"{readings.heat.zone} is {-headroom:.0f} °C above its first trip point already: "
        "check the trip point, heat_limit_c and the cooling"
    ]
