"""Watts where no sensor tells them, and the careful guess where a sensor was lost.

P = idle + k x busy cores: power of a processor grows nearly in proportion to its load (Fan, Weber,
Barroso, "Power provisioning for a warehouse-sized computer", 2007).
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.config.govern import GovernSection
from edge_agent.govern.line import PowerLine
from edge_agent.govern.vitals import Vitals

LOST_MARGIN = 1.25
"""A lost sensor's place is taken by what it had shown, with this much on top."""


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


def power_of(settings: GovernSection, vitals: Vitals, line: PowerLine) -> Power:
    """The sensor's watts, else the estimate, labelled. ``line``: what the sensor has shown."""
    measured = vitals.watts.value
    if measured is not None:
        return Power(measured + settings.power_offset_watts, True, vitals.watts.reason)
    guess = estimate(settings, vitals)
    if "power" in vitals.lost:
        busy = vitals.busy_cores.value
        shown = line.at(vitals.cores if busy is None else busy)
        careful = max(guess, shown) * LOST_MARGIN
        return Power(careful, False, f"sensor lost ({vitals.watts.reason}), careful estimate")
    return Power(guess, False, f"estimated from busy cores ({vitals.watts.reason})")
