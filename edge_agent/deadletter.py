"""Notes about what could not be read: counted always, told to the broker at a bounded rate."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from edge_agent.domain.telemetry import Message

log = structlog.get_logger(__name__)

NOTES_PER_MINUTE = 30
"""A flood of broken messages must not become a flood of notes."""


class DeadLetters:
    """Counts what was refused, and lets a few notes a minute through.

    ``note`` composes and stores one note: (message, reason, refused without a note before it).
    """

    def __init__(self, note: Callable[[Message, str, int], None]) -> None:
        self._note = note
        self._minute = 0
        self._left = NOTES_PER_MINUTE
        self._suppressed = 0
        self.count = 0

    def add(self, message: Message, reason: str, now: float) -> None:
        """Count one refused message; ``now``: monotonic seconds."""
        self.count += 1
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._left = minute, NOTES_PER_MINUTE
        if self._left <= 0:
            self._suppressed += 1
            return
        self._left -= 1
        log.warning("message_refused", topic=message.topic, reason=reason, refused=self.count)
        self._note(message, reason, self._suppressed)
        self._suppressed = 0
