"""Readings → rows: one value per signal of one machine at one moment. Pure.

A row closes as soon as every signal that usually comes has come, so that a deciding sample is
judged at once; or when a signal comes a second time. Rows are at least ``row_s`` apart: what
comes faster is averaged, so that the cost of detection follows time and not the message rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.domain.telemetry import Quality, Reading

Floats = NDArray[np.float64]

ABSURD = 1e15
"""No physical quantity in any usual unit is larger; such a value is a broken sensor's."""
BELIEVABLE = (-ABSURD, ABSURD)
"""Limits of a signal of which the card says nothing: one object for all of them."""
USUAL = 0.5
"""A signal is waited for if it came in more than this share of the recent rows."""
GETTING_TO_KNOW = 3
"""The first rows close only when a signal comes again: nobody knows yet how many there are."""
MEMORY = 0.1
"""Weight of the newest row in that share."""


@dataclass(frozen=True, slots=True)
class Row:
    """One moment of one machine. Arrays have one entry per signal, in order of first appearance."""

    at: float
    values: Floats
    """NaN where the signal has never had a believable value; else held from the last row."""
    fresh: NDArray[np.bool_]
    """Came with a believable value in this row."""
    broken: NDArray[np.bool_]
    """Came, but with something that no sensor in order says."""


class RowAssembler:
    """Collects the readings of one machine into rows."""

    def __init__(self, row_s: float, max_signals: int) -> None:
        self._row_s = row_s
        self._max_signals = max_signals
        self.signals: dict[str, int] = {}
        self._limits: list[tuple[float, float]] = []
        self._held: list[float] = []
        self._sum: list[float] = []
        self._count: list[int] = []
        self._broken: list[bool] = []
        self._share: list[float] = []
        self._waiting = 0
        self._rows = 0
        self._opened_at = math.nan
        self._closed_at = -math.inf
        self._newest = -math.inf

    def know(self, signal: str, limits: tuple[float, float] | None = None) -> int | None:
        """The index of ``signal``, registered if it is new; None past the cap."""
        index = self.signals.get(signal)
        if index is None and len(self.signals) < self._max_signals:
            index = self.signals[signal] = len(self.signals)
            self._limits.append(limits or BELIEVABLE)
            self._held.append(math.nan)
            self._sum.append(0.0)
            self._count.append(0)
            self._broken.append(False)
            self._share.append(1.0)
            self._waiting += 1
        return index

    def add(self, reading: Reading, limits: tuple[float, float] | None = None) -> Row | None:
        """Take one reading; a row if one closed. Late and replayed readings are left out."""
        quality = reading.quality
        if quality is not Quality.GOOD and quality is not Quality.OUT_OF_RANGE:
            return None
        index = self.know(reading.signal, limits)
        if index is None or reading.at < self._newest:
            return None
        closed = None
        repeated = self._count[index] > 0 or self._broken[index]
        if repeated and reading.at > self._newest and self._due(reading.at):
            closed = self._close()
        self._newest = reading.at
        if math.isnan(self._opened_at):
            self._opened_at = reading.at
        self._take(index, reading.value)
        return closed

    def complete(self) -> Row | None:
        """The row in the making, if every usual signal has come and it is due."""
        if self._rows >= GETTING_TO_KNOW and self._waiting <= 0 and self._due(self._newest):
            return self._close()
        return None

    def flush(self) -> Row | None:
        """What is half assembled, at the end."""
        return None if math.isnan(self._opened_at) else self._close()

    def _due(self, at: float) -> bool:
        # A quarter of slack: a producer's clock jitters around its period.
        return at - self._closed_at >= 0.75 * self._row_s

    def _take(self, index: int, value: float) -> None:
        low, high = self._limits[index]
        if self._count[index] == 0 and not self._broken[index] and self._share[index] > USUAL:
            self._waiting -= 1
        if low <= value <= high:
            self._sum[index] += value
            self._count[index] += 1
        else:
            self._broken[index] = True

    def _close(self) -> Row:
        count = np.array(self._count)
        fresh = count > 0
        broken = np.array(self._broken) & ~fresh
        for index in np.flatnonzero(fresh).tolist():
            self._held[index] = self._sum[index] / self._count[index]
        row = Row(self._newest, np.array(self._held), fresh, broken)
        came = fresh | broken
        size = len(self._count)
        self._share = [
            share + MEMORY * (one - share)
            for share, one in zip(self._share, came.tolist(), strict=True)
        ]
        self._waiting = sum(share > USUAL for share in self._share)
        self._sum, self._count, self._broken = [0.0] * size, [0] * size, [False] * size
        self._closed_at, self._opened_at = self._newest, math.nan
        self._rows += 1
        return row
