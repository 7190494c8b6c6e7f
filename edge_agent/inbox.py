"""Messages between the network thread and the intake: bounded, fair, never blocking the network."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.domain.telemetry import Message

NAMED = 1_000
"""Lanes whose losses are counted one by one; further ones are counted together."""
WORST = 5
OTHERS = "(others)"
LEAST_SHARE = 16
"""Messages that a lane gives at once if it has them, in however many lanes others wait: a machine
whose messages come one by one from a crowd costs half as much again to judge."""


@dataclass(frozen=True, slots=True)
class InboxCounts:
    """How full it is and what it lost."""

    messages: int
    bytes: int
    shed: int
    """Messages dropped for room since the start."""
    shed_by: dict[str, int]
    """The lanes that lost most, and how many messages each."""


class Lane:
    """The messages of one machine that wait, oldest first."""

    __slots__ = ("bytes", "messages")

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.bytes = 0

    def pop(self) -> Message:
        """Its oldest message."""
        message = self.messages.popleft()
        self.bytes -= len(message.payload)
        return message


def _one_lane(_topic: str) -> str:
    return ""


class Inbox:
    """A queue that sheds rather than grow or wait, and in which nobody waits for a flood of others.

    Each machine has a lane: ``lane_of`` tells it by topic, and the order within a lane is that of
    arrival. Lanes are emptied in turn, a fair share of a batch each; for room, the oldest message
    of a lane goes that has more than its share. ``on_shed`` is called with each message dropped,
    outside of the lock: it acknowledges it, or those behind it would wait for ever.
    """

    def __init__(
        self,
        max_messages: int,
        max_bytes: int,
        *,
        lane_of: Callable[[str], str] = _one_lane,
        on_shed: Callable[[Message], None] | None = None,
    ) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._lane_of = lane_of
        self._on_shed = on_shed
        self._filled = threading.Condition(threading.Lock())
        self._lanes: OrderedDict[str, Lane] = OrderedDict()
        self._messages = 0
        self._bytes = 0
        self._shed: Counter[str] = Counter()

    def put(self, message: Message) -> None:
        """Add ``message``; past the bounds the oldest of whoever has most go."""
        name = self._lane_of(message.topic)
        dropped: list[Message] = []
        with self._filled:
            lane = self._lanes.get(name)
            if lane is None:
                lane = self._lanes[name] = Lane()
            size = len(message.payload)
            lane.messages.append(message)
            lane.bytes += size
            self._messages += 1
            self._bytes += size
            while self._over() and self._messages > 1:
                dropped.append(self._drop(name, lane))
            self._filled.notify()
        if self._on_shed is not None:
            for oldest in dropped:
                self._on_shed(oldest)

    def take(self, limit: int, timeout: float) -> list[Message]:
        """Up to ``limit`` messages, each machine's in the order in which they came; waits up to
        ``timeout`` seconds for the first one, and may return none."""
        with self._filled:
            if not self._messages:
                self._filled.wait(timeout)
            taken: list[Message] = []
            share = (
                limit if self._messages <= limit else max(LEAST_SHARE, limit // len(self._lanes))
            )
            while self._messages and len(taken) < limit:
                name, lane = self._lanes.popitem(last=False)
                before = lane.bytes
                count = min(share, limit - len(taken), len(lane.messages))
                taken += [lane.pop() for _ in range(count)]
                self._messages -= count
                self._bytes -= before - lane.bytes
                if lane.messages:
                    self._lanes[name] = lane
            return taken

    def counts(self) -> InboxCounts:
        """How full it is and what it lost."""
        with self._filled:
            return InboxCounts(
                messages=self._messages,
                bytes=self._bytes,
                shed=self._shed.total(),
                shed_by=dict(self._shed.most_common(WORST)),
            )

    def __len__(self) -> int:
        return self._messages

    def _over(self) -> bool:
        return self._messages > self._max_messages or self._bytes > self._max_bytes

    def _drop(self, name: str, lane: Lane) -> Message:
        """The oldest message of a lane that has more than its share: of the newest message's own,
        where that is such a one, which spares a search during a flood."""
        by_bytes = self._messages <= self._max_messages
        held, most = lane.bytes, self._max_bytes
        if not by_bytes:
            held, most = len(lane.messages), self._max_messages
        if held * len(self._lanes) <= most:
            name, lane = max(
                self._lanes.items(),
                key=lambda item: item[1].bytes if by_bytes else len(item[1].messages),
            )
        oldest = lane.pop()
        self._messages -= 1
        self._bytes -= len(oldest.payload)
        if not lane.messages:
            del self._lanes[name]
        self._shed[name if name in self._shed or len(self._shed) < NAMED else OTHERS] += 1
        return oldest
