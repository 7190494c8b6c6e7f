"""How long a neighbour's small periodic task takes: the PLC bridge beside which we run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

PERIOD_S = 0.01
WORK = 2_000
"""Additions per round: a fraction of a millisecond."""


class Neighbour:
    """A process that does a bit of work each 10 ms and times it from when it was due."""

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "edge_agent.bench.neighbour"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()

    def latency(self) -> dict[str, float]:
        """End it: ``p50``, ``p99`` and ``max`` in milliseconds."""
        answer, _ = self._child.communicate(b"\n", timeout=30)
        figures = json.loads(answer)
        return {str(name): float(value) for name, value in figures.items()}


def main() -> None:
    """Measure until a line arrives on stdin."""
    import select

    took = []
    due = time.monotonic() + PERIOD_S
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        total = 0
        for number in range(WORK):
            total += number
        now = time.monotonic()
        took.append((now - due) * 1e3)
        due = max(due + PERIOD_S, now)
        if len(took) > 1_000_000:
            del took[:500_000]
    took.sort()
    figures = {
        "p50": took[len(took) // 2],
        "p99": took[int(len(took) * 0.99)],
        "max": took[-1],
    }
    sys.stdout.write(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
