"""Named points where a test may have the process killed. Off unless a test arms them.

``EDGE_AGENT_FAILPOINT=name:count`` kills the process (SIGKILL, as a power cut would) the
``count``-th time it comes to ``name``; ``any`` counts every point. It costs one comparison while
nothing is armed.
"""

from __future__ import annotations

import itertools
import os
import signal

VARIABLE = "EDGE_AGENT_FAILPOINT"


class Failpoint:
    """The one point at which this process is to die, if any."""

    def __init__(self, text: str | None) -> None:
        name, _, count = (text or "").partition(":")
        self._name = name or None
        self._deadly = int(count or 1)
        self._count = itertools.count(1)

    def reach(self, name: str) -> None:
        """Die here, if it is time."""
        if self._name is None or self._name not in (name, "any"):
            return
        if next(self._count) == self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)


_failpoint = Failpoint(os.environ.get(VARIABLE))


def arm(text: str | None) -> None:
    """Replace what the environment said; for processes that fork their victims."""
    global _failpoint  # noqa: PLW0603 - one process dies once
    _failpoint = Failpoint(text)


def reach(name: str) -> None:
    """The caller comes to the point ``name``."""
    _failpoint.reach(name)
