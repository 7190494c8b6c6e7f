"""Coefficients of the power estimate, fitted to a meter at several loads."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from edge_agent.errors import Unavailable
from edge_agent.govern.vitals import Vitals

SETTLE_SHARE = 0.3
"""Share of each step that is left out: clocks and fans need a moment."""
SPIN = "while True:\n    sum(range(10000))"


@dataclass(frozen=True, slots=True)
class Point:
    """One load: mean busy cores of the host and mean watts."""

    busy_cores: float
    watts: float


@dataclass(frozen=True, slots=True)
class Fit:
    """``watts = idle_watts + watts_per_core x busy cores``."""

    idle_watts: float
    watts_per_core: float
    worst_watts: float
    """Largest distance of a point from the line."""


def fit(points: Sequence[Point]) -> Fit:
    """Least squares over the points. Raises ``Unavailable`` where they tell nothing."""
    count = len(points)
    mean_busy = sum(point.busy_cores for point in points) / max(1, count)
    mean_watts = sum(point.watts for point in points) / max(1, count)
    spread = sum((point.busy_cores - mean_busy) ** 2 for point in points)
    if count < 2 or spread < 0.05:
        raise Unavailable(
            "the load hardly differed between the steps: end what else is running, or take longer "
            "steps with --seconds"
        )
    slope = sum((p.busy_cores - mean_busy) * (p.watts - mean_watts) for p in points) / spread
    if slope <= 0:
        raise Unavailable(
            f"power did not rise with the load ({slope:.2f} W per core): does the meter measure "
            "this gateway?"
        )
    idle = mean_watts - slope * mean_busy
    worst = max(abs(idle + slope * p.busy_cores - p.watts) for p in points)
    return Fit(max(0.0, idle), slope, worst)


def measure(
    loads: Sequence[int],
    seconds: float,
    *,
    sample: Callable[[], Vitals],
    watts: Callable[[Vitals], float | None],
    progress: Callable[[str], None],
) -> list[Point]:
    """Put each of ``loads`` busy cores on the machine for ``seconds`` and average what is seen.

    ``watts`` gives the meter's power for a sample, None while it has none. Raises ``Unavailable``
    where a step saw no power at all.
    """
    points = []
    for load in loads:
        progress(f"{load} busy cores for {seconds:.0f} s")
        points.append(_step(load, seconds, sample, watts))
    return points


def _step(
    load: int,
    seconds: float,
    sample: Callable[[], Vitals],
    watts: Callable[[Vitals], float | None],
) -> Point:
    busy, power = [], []
    with ExitStack() as stack:
        for _ in range(load):
            child = stack.enter_context(subprocess.Popen([sys.executable, "-c", SPIN]))
            stack.callback(child.kill)
        time.sleep(SETTLE_SHARE * seconds)
        sample()
        end = time.monotonic() + (1 - SETTLE_SHARE) * seconds
        while time.monotonic() < end:
            time.sleep(min(1.0, 0.2 * seconds))
            vitals = sample()
            reading = watts(vitals)
            if reading is not None and vitals.busy_cores.value is not None:
                busy.append(vitals.busy_cores.value)
                power.append(reading)
    if not power:
        raise Unavailable(
            "no power was measured: neither a sensor nor the meter answers; give the meter's "
            "figures by hand with --by-hand"
        )
    return Point(sum(busy) / len(busy), sum(power) / len(power))
