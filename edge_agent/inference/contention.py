"""How many threads to compute with, while other programs want the same cores.

llama.cpp's threads meet at a barrier after each of some thousand operations of a token. If one of
them waits for a core, all wait: two threads on two busy cores took 2.6 s a token where one took
46 ms. So when the threads did not get their cores, one thread goes on alone for a while.
"""

from __future__ import annotations

from dataclasses import dataclass

LEAST_SHARE = 0.6
"""CPU time got, of that which the threads could have had."""
WINDOW_S = 0.1
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0


@dataclass(slots=True)
class ThreadChoice:
    """Pure: the caller has the clocks."""

    alone_until: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    _wall: float = 0.0
    _cpu: float = 0.0

    def pick(self, wanted: int, now: float) -> int:
        """Threads for the next batch."""
        return 1 if now < self.alone_until else wanted

    def observe(self, threads: int, wall_s: float, cpu_s: float, now: float) -> None:
        """A batch took ``wall_s`` and, over all its threads, ``cpu_s``."""
        if threads <= 1:
            return
        self._wall += wall_s * threads
        self._cpu += cpu_s
        if self._wall < WINDOW_S * threads:
            return
        share = self._cpu / self._wall
        self._wall = self._cpu = 0.0
        if share >= LEAST_SHARE:
            self.pause_s = FIRST_PAUSE_S
            return
        self.alone_until = now + self.pause_s
        self.pause_s = min(2 * self.pause_s, LONGEST_PAUSE_S)
