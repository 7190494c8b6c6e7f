"""A reading that leaps out of everything seen so far is believed only if it stays there."""

from __future__ import annotations

from edge_agent.govern.gauge import Gauge, missing

POWER_STAYS_S = 10.0
"""Power that leapt is believed after this long, seconds."""
HEAT_STAYS_S = 3.0
"""Heat is believed sooner: it is the costlier mistake."""
HEAT_LEAP_C = 20.0
"""No zone warms or cools by more between two samples, degrees Celsius."""


class Doubt:
    """Remembers since when a sensor has been out of its bounds. ``follow``: the caller moves the
    bounds to what was believed, so that the next leap is a new one."""

    def __init__(self, stays_s: float, *, follow: bool = False) -> None:
        self._stays_s = stays_s
        self._follow = follow
        self._odd_since: float | None = None

    def check(self, gauge: Gauge, low: float, high: float, now: float) -> Gauge:
        """``gauge``, or no value while it is newly below ``low`` or above ``high``."""
        if gauge.value is None:
            return gauge
        if low <= gauge.value <= high:
            self._odd_since = None
            return gauge
        if self._odd_since is None:
            self._odd_since = now
        if now - self._odd_since >= self._stays_s:
            if self._follow:
                self._odd_since = None
            return gauge
        return missing(f"leapt to {gauge.value:.4g}, expected {low:.3g} to {high:.3g}")
