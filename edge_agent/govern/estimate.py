"""Watts where no sensor tells them, and the careful guess where a sensor was lost.

P = idle + k x busy cores: power of a processor grows nearly in proportion to its load (Fan, Weber,
Barroso, "Power provisioning for a warehouse-sized computer", 2007).
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.config.govern import GovernSection
from edge_agent.govern.vitals import Vitals

LOST_MARGIN = 1.25
"""A lost sensor's place is taken by the estimate with this much on top."""


@dataclass(frozen=True, slots=True)
class Power:
    """Power of the whole gateway."""

    watts: float
    measured: bool
    source: str


def estimate(settings: GovernSection, vitals: Vitals) -> float:
    """Watts from busy cores; all of them where the load is unknown."""
    busy = vitals.busy_cores.value
    return settings.idle_watts + settings.watts_per_core * (vitals.cores if busy is None else busy)


def power_of(settings: GovernSection, vitals: Vitals, excess: float) -> Power:
    """The sensor's watts, else the estimate, labelled.

    ``excess``: highest recent ratio of measured to estimated power; it applies, with a margin,
    once the sensor is lost.
    """
    measured = vitals.watts.value
    if measured is not None:
        return Power(measured + settings.power_offset_watts, True, vitals.watts.reason)
    guess = estimate(settings, vitals)
    if "power" in vitals.lost:
        careful = guess * max(1.0, excess) * LOST_MARGIN
        return Power(careful, False, f"sensor lost ({vitals.watts.reason}), careful estimate")
    return Power(guess, False, f"estimated from busy cores ({vitals.watts.reason})")


def track_excess(excess: float, measured: float, guess: float, seconds: float) -> float:
    """Follow the ratio measured / estimated: up at once, down with a time constant of 10 min."""
    ratio = measured / max(0.1, guess)
    if ratio >= excess:
        return min(20.0, ratio)
    return excess + (ratio - excess) * min(1.0, max(0.0, seconds) / 600.0)
