"""Power as a line over busy cores, learned from the sensor: P = idle + k x busy.

Least squares with forgetting: each second counts less the older it is. The settings' coefficients
stand in as a few seconds of observation until the sensor has shown more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_agent.config.govern import GovernSection

FORGET_S = 900.0
"""Time constant of forgetting, seconds."""
PRIOR_S = 10.0
"""The settings weigh like so many seconds at no load and as many at one busy core."""
LEAST_SPREAD = 0.005
"""Variance of busy cores below which a slope would be noise."""
LEAST_PER_CORE, MOST_PER_CORE = 0.1, 100.0


@dataclass(frozen=True, slots=True)
class PowerLine:
    """Weighted sums of an exponentially forgotten past, and the line through it."""

    weight: float
    busy: float
    watts: float
    busy_busy: float
    busy_watts: float
    per_core: float
    """The slope that held last."""

    @classmethod
    def from_settings(cls, settings: GovernSection) -> PowerLine:
        """The line that the settings name."""
        idle, core = settings.idle_watts, settings.watts_per_core
        return cls(
            2 * PRIOR_S,
            PRIOR_S,
            PRIOR_S * (2 * idle + core),
            PRIOR_S,
            PRIOR_S * (idle + core),
            core,
        )

    @property
    def idle_watts(self) -> float:
        """Power without load."""
        return max(0.0, (self.watts - self.per_core * self.busy) / self.weight)

    def at(self, busy: float) -> float:
        """Power at ``busy`` cores."""
        return self.idle_watts + self.per_core * busy

    def after(self, seconds: float, busy: float, watts: float) -> PowerLine:
        """The line once ``seconds`` of ``watts`` at ``busy`` cores have been seen."""
        keep = math.exp(-max(0.0, seconds) / FORGET_S)
        weight = self.weight * keep + seconds
        sum_x = self.busy * keep + busy * seconds
        sum_y = self.watts * keep + watts * seconds
        sum_xx = self.busy_busy * keep + busy * busy * seconds
        sum_xy = self.busy_watts * keep + busy * watts * seconds
        spread = sum_xx / weight - (sum_x / weight) ** 2
        per_core = self.per_core
        if spread >= LEAST_SPREAD:
            slope = (sum_xy / weight - sum_x / weight * (sum_y / weight)) / spread
            per_core = min(MOST_PER_CORE, max(LEAST_PER_CORE, slope))
        return PowerLine(weight, sum_x, sum_y, sum_xx, sum_xy, per_core)

    def dump(self) -> list[float]:
        """As plain numbers."""
        return [
            self.weight,
            self.busy,
            self.watts,
            self.busy_busy,
            self.busy_watts,
            self.per_core,
        ]

    @classmethod
    def load(cls, numbers: list[float]) -> PowerLine:
        """From what ``dump`` gave. Raises ValueError, TypeError on anything else."""
        line = cls(*(float(number) for number in numbers))
        finite = all(map(math.isfinite, line.dump()))
        if not finite or line.weight <= 0 or not LEAST_PER_CORE <= line.per_core <= MOST_PER_CORE:
            raise ValueError("no power line")
        return line
