"""Stops calling a worker that keeps dying, and tries again after a pause that grows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Breaker:
    """Open after ``limit`` losses in a row; then one trial per pause. Pure: the caller has the
    clock."""

    limit: int = 3
    first_pause_s: float = 30.0
    longest_pause_s: float = 900.0
    losses: int = 0
    open_until: float = 0.0

    def remaining(self, now: float) -> float:
        """Seconds until a call may be tried; 0 if at once."""
        return max(0.0, self.open_until - now)

    def lost(self, now: float) -> None:
        """A worker died or hung. Each loss past the limit doubles the pause."""
        self.losses += 1
        if self.losses >= self.limit:
            doublings = min(self.losses - self.limit, 16)
            pause = min(self.first_pause_s * 2**doublings, self.longest_pause_s)
            self.open_until = now + pause

    def worked(self) -> None:
        """A call came back: the worker is sound."""
        self.losses = 0
        self.open_until = 0.0
