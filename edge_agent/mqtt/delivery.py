"""What became of one publish."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edge_agent.domain.outgoing import Outcome


class Delivery:
    """A handle on a message in flight; it is settled exactly once."""

    __slots__ = ("_done", "_lock", "_on_done", "_outcome")

    def __init__(self, on_done: Callable[[Outcome], None] | None = None) -> None:
        """``on_done`` is called once, from the network thread: it must not block."""
        self._lock = threading.Lock()
        self._done: threading.Event | None = None
        self._outcome: Outcome | None = None
        self._on_done = on_done

    @property
    def outcome(self) -> Outcome | None:
        """None while it is in flight."""
        return self._outcome

    def wait(self, timeout: float) -> Outcome | None:
        """The outcome, waited for up to ``timeout`` seconds; None while it is in flight."""
        with self._lock:
            if self._outcome is not None:
                return self._outcome
            done = self._done = self._done or threading.Event()
        done.wait(timeout)
        return self._outcome

    def settle(self, outcome: Outcome) -> None:
        """Say what became of it; later calls change nothing."""
        with self._lock:
            if self._outcome is not None:
                return
            self._outcome = outcome
            done = self._done
        if done is not None:
            done.set()
        if self._on_done is not None:
            self._on_done(outcome)
