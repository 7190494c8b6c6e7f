"""From stress to level: ladders as tables, one state, hysteresis. No clock, no I/O.

Each cause is measured as a *stress*: higher is worse, in the unit its ladder names. A level is
entered at once when a stress reaches ``enter``; it is left one step at a time, when every stress
has stayed below ``leave`` for the hysteresis. So upward moves are at least that far apart, which
bounds flapping whatever the sensors say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from edge_agent.domain.level import Level

ORDER = (Level.FULL, Level.ECO, Level.SHORT, Level.RULES_ONLY, Level.PAUSED)
RANK = {level: rank for rank, level in enumerate(ORDER)}


class Cause(StrEnum):
    """Why a level is what it is."""

    POWER = "power"
    """1 - share of the joules in store; above 1 is debt. Its last rung is debt that no job of ours
    makes (it is stopped before); the rest waits."""
    MEMORY = "memory"
    """Used share of the nearest limit."""
    PRESSURE = "pressure"
    """Percent of the last 10 s in which everything waited for memory."""
    DISK = "disk"
    """The same for the disk. It never forbids the model, whose own loading makes such waits."""
    HEAT = "heat"
    """0 where the margin begins, 1 at the trip point."""
    BATTERY = "battery"
    """Lowest charge allowed / charge, on battery."""
    BOARD = "board"
    """The board's own alarms, weighted."""
    SCHEDULE = "schedule"
    """What the settings order for this time of day."""


@dataclass(frozen=True, slots=True)
class Rung:
    """A level holds from ``enter`` on, until the stress falls below ``leave``."""

    level: Level
    enter: float
    leave: float


LADDERS: Mapping[Cause, tuple[Rung, ...]] = {
    Cause.POWER: (
        Rung(Level.ECO, 0.5, 0.35),
        Rung(Level.SHORT, 0.8, 0.6),
        Rung(Level.RULES_ONLY, 2.0, 1.5),
    ),
    Cause.MEMORY: (
        Rung(Level.ECO, 0.95, 0.9),
        Rung(Level.RULES_ONLY, 0.98, 0.93),
        Rung(Level.PAUSED, 1.0, 0.93),
    ),
    Cause.PRESSURE: (
        Rung(Level.ECO, 5, 2),
        Rung(Level.SHORT, 10, 5),
        Rung(Level.RULES_ONLY, 25, 10),
        Rung(Level.PAUSED, 40, 20),
    ),
    Cause.DISK: (
        Rung(Level.ECO, 20, 10),
        Rung(Level.SHORT, 50, 25),
    ),
    Cause.HEAT: (
        Rung(Level.ECO, 0.0, -0.2),
        Rung(Level.SHORT, 0.4, 0.1),
        Rung(Level.RULES_ONLY, 0.7, 0.45),
        Rung(Level.PAUSED, 0.9, 0.6),
    ),
    Cause.BATTERY: (
        Rung(Level.ECO, 0.5, 0.45),
        Rung(Level.SHORT, 0.75, 0.7),
        Rung(Level.RULES_ONLY, 1.0, 0.9),
        Rung(Level.PAUSED, 2.0, 1.5),
    ),
    Cause.BOARD: (
        Rung(Level.ECO, 0.25, 0.2),
        Rung(Level.SHORT, 0.5, 0.4),
        Rung(Level.RULES_ONLY, 0.75, 0.7),
    ),
    Cause.SCHEDULE: (
        Rung(Level.ECO, 1, 0.5),
        Rung(Level.SHORT, 2, 1.5),
        Rung(Level.RULES_ONLY, 3, 2.5),
        Rung(Level.PAUSED, 4, 3.5),
    ),
}
"""Every threshold there is."""


@dataclass(frozen=True, slots=True)
class Stress:
    """One cause's state now, with words for a person."""

    value: float
    words: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The level that holds, why, and since when."""

    level: Level = Level.FULL
    reason: str = "within every budget"
    cause: Cause | None = None
    since: float = float("-inf")
    """Monotonic seconds of the last change of level."""
    calm_since: float | None = None
    """Since when a better level would do; None while it would not."""


def level_for(cause: Cause, stress: float, *, leaving: bool = False) -> Level:
    """The worst level whose threshold ``stress`` reaches, by ``enter`` or by ``leave``."""
    level = Level.FULL
    for rung in LADDERS[cause]:
        if stress >= (rung.leave if leaving else rung.enter):
            level = rung.level
    return level


def decide(
    stresses: Mapping[Cause, Stress], previous: Standing, now: float, hysteresis_s: float
) -> Standing:
    """The next standing. A cause without a stress demands nothing."""
    entering, cause = _worst(stresses, leaving=False)
    if RANK[entering] > RANK[previous.level] and cause is not None:
        return Standing(entering, _words(cause, stresses), cause, now)
    if previous.level is Level.FULL:
        return previous
    leaving, holder = _worst(stresses, leaving=True)
    if RANK[leaving] >= RANK[previous.level]:
        cause = holder or previous.cause
        reason = _words(cause, stresses) if cause is not None else previous.reason
        return Standing(previous.level, reason, cause, previous.since)
    calm_since = now if previous.calm_since is None else previous.calm_since
    if min(now - calm_since, now - previous.since) < hysteresis_s:
        reason = previous.reason.removesuffix(BETTER) + BETTER
        return Standing(previous.level, reason, previous.cause, previous.since, calm_since)
    better = ORDER[RANK[previous.level] - 1]
    if better is Level.FULL:
        return Standing(better, since=now, calm_since=now)
    reason = f"recovering: {_words(holder, stresses) if holder else 'within every budget'}"
    return Standing(better, reason, holder, now, now)


BETTER = "; better now, waiting whether it lasts"


def _worst(stresses: Mapping[Cause, Stress], *, leaving: bool) -> tuple[Level, Cause | None]:
    worst, blamed = Level.FULL, None
    for cause, stress in stresses.items():
        level = level_for(cause, stress.value, leaving=leaving)
        if RANK[level] > RANK[worst]:
            worst, blamed = level, cause
    return worst, blamed


def _words(cause: Cause, stresses: Mapping[Cause, Stress]) -> str:
    stress = stresses.get(cause)
    return f"{cause}: {stress.words}" if stress else str(cause)
