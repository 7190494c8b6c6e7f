"""Topic aliases outbound: two bytes instead of a topic that the broker knows already."""

from __future__ import annotations

import threading

MOST = 64
"""Aliases used at once, however many the broker offers."""
REMEMBERED = 1_000


class TopicAliases:
    """The aliases of one connection [MQTT-3.3.2-8]. Thread-safe.

    A topic gets one with its second message, so that those which occur once (response topics) use
    none up, and keeps it while the connection lasts. It stands for the topic only after a message
    with both went out before it: ``established``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._most = 0
        self._seen: set[str] = set()
        self._number: dict[str, int] = {}
        self._established: set[str] = set()

    def allow(self, maximum: int) -> None:
        """``maximum``: Topic Alias Maximum of the CONNACK; 0 where it names none."""
        self._most = min(maximum, MOST)

    def use(self, topic: str) -> tuple[str, int | None]:
        """(topic to send, alias to send with it); the topic is empty where the alias says it."""
        with self._lock:
            number = self._number.get(topic)
            if number is None:
                number = self._assign(topic)
            return ("" if topic in self._established else topic), number

    def established(self, topic: str) -> None:
        """A message with ``topic`` and its alias has left; those that follow may do without."""
        with self._lock:
            if topic in self._number:
                self._established.add(topic)

    def doubt(self, topic: str) -> None:
        """A message on ``topic`` was refused: say the topic in full again."""
        with self._lock:
            self._established.discard(topic)

    def _assign(self, topic: str) -> int | None:
        if len(self._number) >= self._most:
            return None
        if topic not in self._seen:
            if len(self._seen) < REMEMBERED:
                self._seen.add(topic)
            return None
        self._number[topic] = len(self._number) + 1
        return self._number[topic]
