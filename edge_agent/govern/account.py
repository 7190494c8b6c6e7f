"""The power account: what the gateway takes, with and without the worker, against its budget."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from edge_agent.config.govern import GovernSection
from edge_agent.govern.budget import Bucket
from edge_agent.govern.estimate import Power, estimate, power_of, track_excess
from edge_agent.govern.history import PowerHistory, Slice
from edge_agent.govern.vitals import Vitals

FIRST_FILL = 0.7
"""A first start has this share in store: enough to try a job of unknown cost."""
LONGEST_STEP_S = 5.0
"""A gap between samples beyond this counts as time that nobody watched: the careful rate."""
IDLE_CORES = 0.05
"""A worker that keeps less than this of a core busy is idle."""
BUSY_CORES = 0.5
"""From here on the worker's share of the power can be told from noise."""
LEAST_PER_CORE, MOST_PER_CORE = 0.1, 100.0
BASE_S = 60.0
"""Time constant of what is learned about base and cores, seconds."""


class PowerAccount:
    """Bucket, base power and history. No clock, no I/O, no lock of its own."""

    def __init__(self, settings: GovernSection, vitals: Vitals) -> None:
        self._settings = settings
        self._vitals = vitals
        self._excess = 1.0
        self._history = PowerHistory()
        self.bucket = _bucket_for(settings)
        """None without a power budget."""
        self.power: Power = power_of(settings, vitals, 1.0)
        self.base_watts = self.power.watts if self.power.measured else settings.idle_watts
        """What the gateway takes while the worker is idle."""
        self.watts_per_core = settings.watts_per_core
        """Of the worker: the settings' until a sensor has shown it."""

    def move_on(self, vitals: Vitals) -> None:
        """Charge the time since the last sample to the bucket and to the history."""
        settings, seconds = self._settings, vitals.at - self._vitals.at
        power = power_of(settings, vitals, self._excess)
        if power.measured:
            guess = estimate(settings, vitals)
            self._excess = track_excess(self._excess, power.watts, guess, seconds)
        self._follow_worker(power, vitals.worker_cores, seconds)
        watts = power.watts
        if seconds > LONGEST_STEP_S:
            # Nobody watched: a job may have run all the time on all cores.
            full = settings.idle_watts + settings.watts_per_core * vitals.cores
            watts = max(watts, self.power.watts, full if self._vitals.worker_cores > 0 else 0.0)
        if self.bucket is not None:
            self.bucket = self.bucket.after(seconds, watts)
        base = min(self.base_watts, watts)
        self._history.add(Slice(self._vitals.at, vitals.at, watts, base, power.measured))
        self._vitals, self.power = vitals, power

    def put_in_force(self, settings: GovernSection) -> None:
        """Other budgets: what is in store, or owed, carries over."""
        fresh = _bucket_for(settings)
        if fresh is not None and self.bucket is not None:
            fresh = self.bucket.with_budget(fresh.budget_watts, fresh.window_s)
        self._settings, self.bucket = settings, fresh

    @property
    def average_watts(self) -> float:
        """Over the budget's window, or what is known of it."""
        average = self._history.average(self._vitals.at, self._settings.power_window_s)
        return self.power.watts if average is None else average

    def joules_of(self, start: float, end: float, cpu_s: float) -> tuple[float, bool]:
        """Joules above base that a job took between two moments, and whether they were measured.

        Load of others that began meanwhile is in the sensor's figure: a job pays for no more than
        twice what its processor seconds explain.
        """
        joules, measured = self._history.above_base(start, end)
        if not measured:
            return self._settings.watts_per_core * cpu_s, False
        most = 2 * self.watts_per_core * cpu_s
        return (min(joules, most) if cpu_s > 0 else joules), True

    def dump(self) -> dict[str, Any]:
        """What outlives a restart, as plain values."""
        return {
            "joules": None if self.bucket is None else self.bucket.joules,
            "base_watts": self.base_watts,
            "watts_per_core": self.watts_per_core,
            "excess": self._excess,
        }

    def load(self, document: dict[str, Any], away_s: float) -> None:
        """Take over what ``dump`` gave. Raises ValueError, TypeError, KeyError on anything else."""
        base, excess = float(document["base_watts"]), float(document["excess"])
        joules = document["joules"]
        per_core = float(document["watts_per_core"])
        figures = [base, excess, per_core, away_s, float(joules or 0.0)]
        if not all(map(math.isfinite, figures)):
            raise ValueError("a figure is not finite")
        if joules is not None and self.bucket is not None:
            self.bucket = self.bucket.restored(float(joules), away_s, base)
        self._excess = min(20.0, max(0.0, excess))
        if not self.power.measured:
            self.base_watts = base
        else:
            self.watts_per_core = min(MOST_PER_CORE, max(LEAST_PER_CORE, per_core))

    def _follow_worker(self, power: Power, worker_cores: float, seconds: float) -> None:
        """Learn the base power while the worker is idle, the watts of a core while it is not."""
        share = min(1.0, seconds / BASE_S)
        if worker_cores < IDLE_CORES:
            self.base_watts += (power.watts - self.base_watts) * share
            return
        self.base_watts = min(self.base_watts, power.watts)
        if power.measured and worker_cores >= BUSY_CORES:
            seen = (power.watts - self.base_watts) / worker_cores
            seen = min(MOST_PER_CORE, max(LEAST_PER_CORE, seen))
            self.watts_per_core += (seen - self.watts_per_core) * share


def _bucket_for(settings: GovernSection) -> Bucket | None:
    if settings.power_watts is None:
        return None
    empty = Bucket(settings.power_watts, settings.power_window_s)
    return replace(empty, joules=FIRST_FILL * empty.capacity)
