"""How the agent's lives ended: several that broke off in a row mean that something kills it."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.store.counters import Counters

CRASH_LOOP = 3
"""So many lives in a row that broke off are a crash loop."""
STEADY_S = 600.0
"""A life this long is no part of a crash loop, however it ends."""
_RUNNING, _BROKEN = "life_running", "lives_broken_off"


@dataclass
class Lives:
    """``begin`` at the start, ``steady`` now and then, ``end`` at an orderly end."""

    counters: Counters
    broken_off: int = 0
    """Lives before this one that broke off, in a row."""
    began: float | None = None

    def begin(self, now: float) -> int:
        """A life begins; ``now``: monotonic seconds. Returns ``broken_off``."""
        counts = self.counters.all()
        self.broken_off = counts.get(_BROKEN, 0) + counts.get(_RUNNING, 0)
        self.began = now
        self.counters.put({_BROKEN: self.broken_off, _RUNNING: 1})
        return self.broken_off

    @property
    def crash_loop(self) -> bool:
        """Whether to come up with the least that works: detectors and rules."""
        return self.broken_off >= CRASH_LOOP

    def steady(self, now: float) -> bool:
        """True once, when this life has lasted long enough to forgive those before it."""
        if self.began is None or not self.broken_off or now - self.began < STEADY_S:
            return False
        self.broken_off = 0
        self.counters.put({_BROKEN: 0})
        return True

    def end(self) -> None:
        """An orderly end."""
        self.broken_off = 0
        self.counters.put({_BROKEN: 0, _RUNNING: 0})
