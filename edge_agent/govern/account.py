"""The power account: what the gateway takes, with and without the worker, against its budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edge_agent.config.govern import GovernSection
from edge_agent.govern.budget import Bucket
from edge_agent.govern.doubt import POWER_STAYS_S, Doubt
from edge_agent.govern.estimate import Power, power_of
from edge_agent.govern.history import PowerHistory, Slice
from edge_agent.govern.line import PowerLine
from edge_agent.govern.vitals import Vitals

FIRST_FILL = 0.7
"""A first start has this share in store: enough to try a job of unknown cost."""
LONGEST_STEP_S = 5.0
"""A gap between samples beyond this counts as time that nobody watched: the careful rate."""
LEAST_OF_IDLE, MOST_OF_FULL = 0.2, 3.0
"""Power below this share of the idle, or above this multiple of the full load's, is doubted."""
BASE_S = 10.0
"""Time constant of the base power, seconds."""


class PowerAccount:
    """Bucket, base power and history. No clock, no I/O, no lock of its own."""

    def __init__(self, settings: GovernSection, vitals: Vitals) -> None:
        self._settings = settings
        self._vitals = vitals
        self._line = PowerLine.from_settings(settings)
        self._history = PowerHistory()
        self._doubt = Doubt(POWER_STAYS_S)
        self.bucket = _bucket_for(settings)
        """None without a power budget."""
        self.power: Power = power_of(settings, vitals, self._line)
        self.base_watts = self.power.watts if self.power.measured else settings.idle_watts
        """What the gateway takes without the worker."""

    def move_on(self, vitals: Vitals) -> None:
        """Charge the time since the last sample to the bucket and to the history."""
        settings, seconds = self._settings, vitals.at - self._vitals.at
        power = power_of(settings, self._doubted(vitals), self._line)
        if power.measured and seconds <= LONGEST_STEP_S:
            busy = vitals.busy_cores.value
            seen = vitals.worker_cores if busy is None else busy
            self._line = self._line.after(seconds, seen, power.watts)
        without = max(0.0, power.watts - self.watts_per_core * vitals.worker_cores)
        self.base_watts += (without - self.base_watts) * min(1.0, seconds / BASE_S)
        watts = power.watts
        if seconds > LONGEST_STEP_S:
            # Nobody watched: a job may have run all the time on all cores.
            full = settings.idle_watts + settings.watts_per_core * vitals.cores
            watts = max(watts, self.power.watts, full if self._vitals.worker_cores > 0 else 0.0)
        if self.bucket is not None:
            self.bucket = self.bucket.after(seconds, watts)
        self._history.add(Slice(self._vitals.at, vitals.at, watts, power.measured))
        self._vitals, self.power = vitals, power

    def _doubted(self, vitals: Vitals) -> Vitals:
        """Without the sensor's watts where they cannot be: the careful estimate stands in."""
        low = LEAST_OF_IDLE * self._line.idle_watts
        high = MOST_OF_FULL * self._line.at(vitals.cores)
        watts = self._doubt.check(vitals.watts, low, high, vitals.at)
        if watts is vitals.watts:
            return vitals
        return replace(vitals, watts=watts, lost=(*vitals.lost, "power"))

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

    @property
    def watts_per_core(self) -> float:
        """As the sensor has shown; the settings' without one."""
        return self._line.per_core if self.power.measured else self._settings.watts_per_core

    def joules_of(self, start: float, end: float, cpu_s: float) -> tuple[float, bool]:
        """Joules above the gateway's base that a job took between two moments, and whether a
        sensor measured meanwhile.

        A sensor sees the whole gateway; the job's share of it are its processor seconds, at the
        watts per core that the sensor has shown.
        """
        return self.watts_per_core * cpu_s, self._history.measured(start, end)

    def dump(self) -> dict[str, Any]:
        """What outlives a restart, as plain values."""
        return {
            "joules": None if self.bucket is None else self.bucket.joules,
            "line": self._line.dump(),
        }

    def load(self, document: dict[str, Any], away_s: float) -> None:
        """Take over what ``dump`` gave. Raises ValueError, TypeError, KeyError on anything else."""
        line = PowerLine.load(document["line"])
        joules = document["joules"]
        if joules is not None and not -1e12 < float(joules) < 1e12:
            raise ValueError(f"{joules} J in store")
        if not -1e12 < away_s < 1e12:
            raise ValueError(f"away for {away_s} s")
        if joules is not None and self.bucket is not None:
            idle = line.idle_watts if self.power.measured else self._settings.idle_watts
            self.bucket = self.bucket.restored(float(joules), away_s, idle)
        self._line = line


def _bucket_for(settings: GovernSection) -> Bucket | None:
    if settings.power_watts is None:
        return None
    empty = Bucket(settings.power_watts, settings.power_window_s)
    return replace(empty, joules=FIRST_FILL * empty.capacity)
