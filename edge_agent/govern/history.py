"""Power of the recent past: averages over the window, and a job's share of it."""

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
    base_watts: float
    """What the gateway would have taken without the worker."""
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

    def above_base(self, start: float, end: float) -> tuple[float, bool]:
        """Joules above base between two moments, and whether every slice was measured and the
        slices cover the time (else False)."""
        joules, covered, measured = 0.0, 0.0, True
        for piece in reversed(self._slices):
            overlap = min(piece.end, end) - max(piece.start, start)
            if piece.end <= start:
                break
            if overlap > 0:
                joules += max(0.0, piece.watts - piece.base_watts) * overlap
                covered += overlap
                measured &= piece.measured
        return joules, measured and covered >= 0.8 * (end - start)
