"""From one sample to the stress of each cause (see ``policy``). Pure."""

from __future__ import annotations

from edge_agent.config.govern import GovernSection, ScheduleSection
from edge_agent.govern.budget import Bucket
from edge_agent.govern.memory import memory_stress
from edge_agent.govern.policy import RANK, Cause, Stress
from edge_agent.govern.vitals import Vitals

FLAG_WEIGHT = {
    "under-voltage": 0.8,
    "throttled": 0.6,
    "frequency capped": 0.5,
    "soft temperature limit": 0.3,
}
"""Under-voltage comes right before a brown-out; the others are slower."""
LOST_HEAT = 0.42
"""A heat sensor that was lost: work shortly, as if half the margin were gone."""
CAPPED_SHARE = 0.8
"""cpufreq permits less than this of the nominal clock: somebody is already throttling."""


def stresses(
    settings: GovernSection,
    vitals: Vitals,
    bucket: Bucket | None,
    rule: ScheduleSection | None = None,
) -> dict[Cause, Stress]:
    """What presses on us, by cause; causes that cannot be known are left out."""
    found = {Cause.MEMORY: Stress(*memory_stress(vitals.memory, settings))}
    if bucket is not None:
        words = f"{bucket.joules:.0f} of {bucket.capacity:.0f} J in store"
        found[Cause.POWER] = Stress(1 - bucket.fill, words)
    for cause, name, share in (
        (Cause.PRESSURE, "memory", vitals.pressure.memory_full),
        (Cause.DISK, "the disk", vitals.pressure.io_full),
    ):
        if share is not None:
            words = f"everybody waited for {name} {share:.0f} % of the last 10 s"
            found[cause] = Stress(share, words)
    warmth = _heat(settings, vitals)
    if warmth is not None:
        found[Cause.HEAT] = warmth
    if vitals.supply.on_battery and vitals.supply.charge_percent is not None:
        charge = vitals.supply.charge_percent
        low = settings.battery_low_percent / max(1.0, charge)
        found[Cause.BATTERY] = Stress(low, f"on battery at {charge:.0f} %")
    if rule is not None:
        found[Cause.SCHEDULE] = Stress(float(RANK[rule.best_level]), rule.name)
    board = _board(vitals)
    if board is not None:
        found[Cause.BOARD] = board
    return found


def _heat(settings: GovernSection, vitals: Vitals) -> Stress | None:
    headroom = vitals.heat.headroom_c
    if headroom.value is None:
        if "heat" in vitals.lost:
            return Stress(LOST_HEAT, f"sensor lost ({headroom.reason})")
        return None
    margin = max(0.5, settings.heat_margin_c)
    words = f"{vitals.heat.zone} {headroom.value:.1f} °C below its trip point"
    return Stress(1 - headroom.value / margin, words)


def _board(vitals: Vitals) -> Stress | None:
    alarms = [(FLAG_WEIGHT[flag], flag) for flag in vitals.flags]
    share = vitals.frequency_share.value
    if share is not None and share < CAPPED_SHARE:
        alarms.append((0.3, f"clock held to {share:.0%}"))
    return Stress(*max(alarms)) if alarms else Stress(0.0, "no alarm")
