"""Which messages may be acknowledged now: PUBACKs leave in the order of arrival [MQTT-4.6.0-2]."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence


class Receipts:
    """The open packet ids of one connection. Thread-safe; ``send`` is called without the lock."""

    def __init__(self, send: Callable[[Sequence[int]], object]) -> None:
        self._send: Callable[[Sequence[int]], object] = send
        self._lock = threading.Lock()
        self._order: deque[int] = deque()
        self._open: set[int] = set()
        self._ready: set[int] = set()
        self._sending = False

    def __len__(self) -> int:
        return len(self._order)

    def arrived(self, mid: int) -> None:
        """A message came with this packet id."""
        with self._lock:
            self._order.append(mid)
            self._open.add(mid)

    def done(self, mids: Sequence[int]) -> int:
        """Their effects are durable: each PUBACK goes once those before it have gone. How many of
        them were open; one that is not, or was done before, is left alone."""
        counted = 0
        with self._lock:
            for mid in mids:
                if mid in self._open and mid not in self._ready:
                    self._ready.add(mid)
                    counted += 1
            if self._sending or not counted:
                return counted
            self._sending = True
        while batch := self._take():
            # Whoever set the flag sends for all threads: the order holds without a lock held.
            self._send(batch)
        return counted

    def clear(self) -> None:
        """The connection is over: none of them means anything any more."""
        with self._lock:
            self._order.clear()
            self._open.clear()
            self._ready.clear()
            self._send = _nowhere  # lets go of the connection, which holds us

    def _take(self) -> list[int]:
        """The packet ids whose turn it is; with none left, the flag is given back."""
        batch: list[int] = []
        with self._lock:
            while self._order and self._order[0] in self._ready:
                mid = self._order.popleft()
                self._open.discard(mid)
                self._ready.discard(mid)
                batch.append(mid)
            if not batch:
                self._sending = False
        return batch


def _nowhere(_mids: Sequence[int]) -> None:
    """Where the PUBACKs of a connection that is over go."""
