"""Messages between the network thread and the intake: bounded, never blocking the network."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.telemetry import Message

URGENT_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class InboxCounts:
    """How full it is and what it lost."""

    messages: int
    bytes: int
    shed: int
    """Messages dropped for room since the start; telemetry first."""


def _never(message: Message) -> bool:  # noqa: ARG001 - one kind of message is the default
    return False


class Inbox:
    """A queue that sheds its oldest telemetry rather than grow or wait.

    ``urgent`` picks messages that overtake telemetry and are not shed for it: commands and desired
    states. ``on_shed`` is called with each dropped message, outside of the lock: it acknowledges
    it, or those behind it would wait for ever.
    """

    def __init__(
        self,
        max_messages: int,
        max_bytes: int,
        *,
        urgent: Callable[[Message], bool] = _never,
        on_shed: Callable[[Message], None] | None = None,
    ) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._is_urgent = urgent
        self._on_shed = on_shed
        self._filled = threading.Condition(threading.Lock())
        self._urgent: deque[Message] = deque()
        self._plain: deque[Message] = deque()
        self._bytes = 0
        self._shed = 0

    def put(self, message: Message) -> None:
        """Add ``message``; past the bounds the oldest go."""
        dropped: list[Message] = []
        with self._filled:
            (self._urgent if self._is_urgent(message) else self._plain).append(message)
            self._bytes += len(message.payload)
            while self._over() and len(self) > 1:
                flooded = len(self._urgent) > URGENT_LIMIT or not self._plain
                oldest = (self._urgent if flooded else self._plain).popleft()
                self._bytes -= len(oldest.payload)
                self._shed += 1
                dropped.append(oldest)
            self._filled.notify()
        if self._on_shed is not None:
            for oldest in dropped:
                self._on_shed(oldest)

    def take(self, limit: int, timeout: float) -> list[Message]:
        """Up to ``limit`` messages, urgent ones first, else in the order in which they came; waits
        up to ``timeout`` seconds for the first one, and may return none."""
        with self._filled:
            if not len(self):
                self._filled.wait(timeout)
            taken: list[Message] = []
            for queue in (self._urgent, self._plain):
                while queue and len(taken) < limit:
                    message = queue.popleft()
                    self._bytes -= len(message.payload)
                    taken.append(message)
            return taken

    def counts(self) -> InboxCounts:
        """How full it is and what it lost."""
        with self._filled:
            return InboxCounts(messages=len(self), bytes=self._bytes, shed=self._shed)

    def __len__(self) -> int:
        return len(self._urgent) + len(self._plain)

    def _over(self) -> bool:
        return (
            len(self._plain) > self._max_messages
            or len(self._urgent) > URGENT_LIMIT
            or self._bytes > self._max_bytes
        )
