"""Power of the recent past: averages over the window, and what of it was measured."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

KEPT = 4_000
"""Samples kept at most: over an hour at one a second."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The time between two samples."""

    start: float
    end: float
    """Monotonic seconds."""
    watts: float
    measured: bool


class PowerHistory:
    """A bounded line of slices, oldest first."""

    def __init__(self) -> None:
        self._slices: deque[Slice] = deque(maxlen=KEPT)

    def add(self, piece: Slice) -> None:
        """Append the newest slice."""
        self._slices.append(piece)

    def average(self, now: float, window_s: float) -> float | None:
        """Mean watts over the window that ends now, or over what is known of it."""
        joules, seconds = 0.0, 0.0
        for piece in reversed(self._slices):
            overlap = min(piece.end, now) - max(piece.start, now - window_s)
            if overlap <= 0:
                break
            joules += piece.watts * overlap
            seconds += overlap
        return joules / seconds if seconds > 0 else None

    def measured(self, start: float, end: float) -> bool:
        """Whether a sensor measured all that is known between two moments, and most is known."""
        covered = 0.0
        for piece in reversed(self._slices):
            if piece.end <= start:
                break
            overlap = min(piece.end, end) - max(piece.start, start)
            if overlap > 0:
                covered += overlap
                if not piece.measured:
                    return False
        return covered > 0 and covered >= 0.6 * (end - start) - 1.0
