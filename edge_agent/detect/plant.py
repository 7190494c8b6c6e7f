"""All signals of a plant under control at once, against the harmony that they keep. Pure.

Hotelling's T² of a row (1947) with a shrunk correlation matrix, averaged exponentially: large when
a signal leaves its level and also when signals stop moving together or swing more than they did.
It needs a plant that keeps to one operating point, so it is switched on only where the learning
rows say that it does, or where the card says ``kind = "process"``. The limit is learned as well:
each half of the learning rows is judged by what the other half taught, since a matrix always fits
the rows that it was made of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.detect.profile import Floats

LEAST_SIGNALS = 10
ROWS_PER_SIGNAL = 5
"""Rows that it takes to learn how signals hang together, for each signal."""
STEADY = 0.6
"""The halves of the learning rows of a steady plant lie at most so many standard deviations
apart, in any signal. A machine that warms up or changes its load shows 0.7 to 1.8."""
SHRINK = 0.1
"""Share of the identity in the correlation matrix."""
MEMORY = 1 / 15
CLIP = 5.0
"""Standard deviations beyond which one value says no more: a spike is no disturbance."""
SIGMAS = 5.0
"""Standard deviations of the averaged T² above its mean that make the score 1.0."""


@dataclass(slots=True)
class Plant:
    """The harmony of S signals, of which the inactive ones count nothing."""

    center: Floats
    """(S,) in the profile's scaled units."""
    spread: Floats
    """(S,) standard deviations there; infinite for signals that are left out."""
    precision: NDArray[np.float32]
    """(S, S)"""
    usual: Floats
    """(2,) mean of T² per signal, and the standard deviation of its moving average."""
    level: Floats
    """(1,) the moving average now."""

    def step(self, scaled: Floats) -> None:
        """Take one row's (S,) scaled values."""
        self.level += MEMORY * (
            _distance(self.center, self.spread, self.precision, scaled) - self.level
        )

    def score(self) -> float:
        """1.0 is the threshold; below 0 when calmer than usual."""
        return float((self.level[0] - self.usual[0]) / (SIGMAS * self.usual[1]))

    def accept(self, fast: Floats) -> None:
        """The (S,) averages of now become the operating point."""
        self.center = fast.copy()
        self.level[0] = self.usual[0]


def learn_plant(scaled: Floats, active: NDArray[np.bool_], process: bool) -> Plant | None:
    """From (N, S) scaled learning rows in time order; None where the plant is not steady, or has
    too few signals or rows. ``process``: the card says that it is one; then it need not show it."""
    half, signals = len(scaled) // 2, int(active.sum())
    if signals < LEAST_SIGNALS or len(scaled) < ROWS_PER_SIGNAL * signals:
        return None
    parts = scaled[:half], scaled[half:]
    apart = np.abs(parts[0].mean(axis=0) - parts[1].mean(axis=0))
    if not process and (apart > STEADY * scaled.std(axis=0))[active].any():
        return None
    mean, averages = 0.0, []
    for taught, judged in (parts, parts[::-1]):
        distances = _distances(*_fit(taught, active), judged)
        mean += float(distances.mean()) / 2.0
        averages += _averaged(distances)
    usual = np.array([mean, max(1e-3, float(np.std(averages)))])
    return Plant(*_fit(scaled, active), usual=usual, level=usual[:1].copy())


def _fit(scaled: Floats, active: NDArray[np.bool_]) -> tuple[Floats, Floats, NDArray[np.float32]]:
    """Center, spread and precision of (N, S) rows."""
    size = scaled.shape[1]
    deviation = scaled.std(axis=0)
    used = active & (deviation > 1e-6)
    center, spread = np.median(scaled, axis=0), np.where(used, deviation, np.inf)
    index = np.flatnonzero(used)
    correlation = np.corrcoef(scaled[:, index], rowvar=False)
    shrunk = (1 - SHRINK) * correlation + SHRINK * np.eye(len(index))
    precision = np.zeros((size, size), np.float32)
    precision[np.ix_(index, index)] = np.linalg.inv(shrunk) / len(index)
    return center, spread, precision


def _distance(
    center: Floats, spread: Floats, precision: NDArray[np.float32], scaled: Floats
) -> float:
    z = np.minimum(np.maximum((scaled - center) / spread, -CLIP), CLIP)
    return float(z @ (precision @ z.astype(np.float32)))


def _distances(
    center: Floats, spread: Floats, precision: NDArray[np.float32], scaled: Floats
) -> Floats:
    """(N,) T² per signal of (N, S) rows."""
    return np.array([_distance(center, spread, precision, row) for row in scaled])


def _averaged(distances: Floats) -> list[float]:
    level, levels = float(distances.mean()), []
    for distance in distances.tolist():
        level += MEMORY * (distance - level)
        levels.append(level)
    return levels
