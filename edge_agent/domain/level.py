"""The governor's levels: how much the agent may spend right now."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """From everything to nothing; each step spends less than the one before."""

    FULL = "full"
    ECO = "eco"
    SHORT = "short"
    RULES_ONLY = "rules-only"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one diagnosis may use, as the governor decided it."""

    level: Level
    reason: str
    """Why this level holds, for a person."""
    wait_s: float = 0.0
    """Ask again after this long; 0 when the job may start now."""
    max_tokens: int = 256
    threads: int = 2
    token_gap_s: float = 0.0
    """Pause between two decoded tokens, which spreads the energy over time."""

    @property
    def may_use_model(self) -> bool:
        """Whether tokens may be spent at all at this level."""
        return self.level in (Level.FULL, Level.ECO, Level.SHORT)


@dataclass(frozen=True, slots=True)
class Spent:
    """What one piece of work took."""

    seconds: float
    cpu_seconds: float
    joules: float
    measured: bool
    """True where a power sensor measured it, False where it was estimated."""


@dataclass(frozen=True, slots=True)
class GovernorStatus:
    """What the governor knows and decided, for health, ``top`` and the log."""

    level: Level
    reason: str
    watts: float
    """Power of the whole gateway now."""
    watts_measured: bool
    watts_source: str
    """Which sensor, or why there is none."""
    average_watts: float
    """Average over the budget's window, or since the start where that is shorter."""
    budget_watts: float | None
    joules_in_store: float | None
    """None without a power budget; negative: debt."""
    daemon_mb: float
    worker_mb: float
    memory_budget_mb: float
    worker_room_mb: float
    """What the worker may hold in all."""
    host_available_mb: float | None
    hottest_c: float | None
    headroom_c: float | None
    """Degrees left to the first trip point."""
    cores: float
    busy_cores: float | None
    """Of the whole host."""
    cpu_waiting_percent: float | None
    """Share of the last 10 s in which something waited for a core (PSI). It moves no level: the
    worker, which is nice to others, waits itself whenever they compute."""
    threads: int
    on_battery: bool | None
    charge_percent: float | None
    alarms: tuple[str, ...] = ()
    """What the board complains of, and sensors that were lost."""
    schedule: str | None = None
    """Name of the schedule's rule in force."""
