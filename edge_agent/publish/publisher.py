"""Drains the outbox: in order, a window in flight; a row goes only after a good PUBACK."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from edge_agent.domain.outgoing import Outcome, Outgoing
from edge_agent.errors import Unavailable

PARK_FIRST_S = 5.0
PARK_LONGEST_S = 900.0
IDLE_S = 0.5
STORE_PAUSE_S = 2.0
BARREN = 5
"""So many times in a row all that was in flight was lost: from then on one message at a time."""
BARREN_ALONE = 3
"""So many further times with one message: it is what ends the connections, and is parked."""
PUBACK_TIMEOUT_S = 60.0
"""A broker that keeps the connection but acknowledges nothing for so long gets a new one."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Backlog:
    """The outbox. Each of these may raise ``Unavailable``."""

    pending: Callable[[int, float], list[tuple[int, Outgoing]]]
    """(limit, wall clock) → rows in the order of sending."""
    sent: Callable[[Sequence[int]], None]
    park: Callable[[int, Callable[[int], float], str], int]
    """(row, refusals so far → wall clock until when, why) → refusals so far."""


@dataclass(frozen=True, slots=True)
class Line:
    """The connection to the broker."""

    send: Callable[[Outgoing, Callable[[Outcome], None]], object]
    """Send at once or settle as ``lost`` at once; the outcome comes from another thread."""
    room: Callable[[], int]
    """How many more the broker takes in flight; 0 while there is no connection."""
    reset: Callable[[str], None]
    """Give the connection up and make a new one."""


@dataclass(slots=True)
class PublisherStatus:
    """What went out. Written by the publisher's thread only."""

    acked: int = 0
    refused: int = 0
    lost: int = 0
    """Sent or about to be when the connection ended; they go again."""
    in_flight: int = 0
    last_success_at: float | None = None
    """Wall clock, Unix seconds."""
    alarms: dict[str, str] = field(default_factory=dict)
    """Topic → why the broker refuses it; gone with the first success there. Bounded."""


ALARMS_KEPT = 20


def park_s(refusals: int) -> float:
    """Pause before a refused message is tried again; doubles from 5 s to 15 minutes."""
    return float(min(PARK_LONGEST_S, PARK_FIRST_S * 2 ** min(max(refusals, 0), 12)))


class Publisher:
    """One thread's loop; ``notify`` may be called from any other."""

    def __init__(
        self,
        backlog: Backlog,
        line: Line,
        *,
        window: int,
        beat: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._backlog = backlog
        self._line = line
        self._window = window
        self._beat = beat
        self._clock = clock
        self._in_flight: dict[int, tuple[Outgoing, float]] = {}
        self._settled: queue.SimpleQueue[tuple[int, Outcome]] = queue.SimpleQueue()
        self._delivered: set[int] = set()
        """Acknowledged, but the store could not drop the row yet: they must not go again."""
        self._refused: dict[int, str] = {}
        self._barren = 0
        self._news = threading.Event()
        self.status = PublisherStatus()

    def notify(self) -> None:
        """A message was committed: look at once."""
        self._news.set()

    def run(self, stop: threading.Event, *, flush_s: float = 0.0) -> None:
        """Drain until ``stop``, then for up to ``flush_s`` seconds what the broker still takes."""
        while not stop.is_set():
            self._beat()
            self.turn(IDLE_S)
        deadline = time.monotonic() + flush_s
        while time.monotonic() < deadline and (self._in_flight or self._line.room()):
            self._beat()
            if self.turn(0.05) == 0 and not self._in_flight:
                return

    def turn(self, timeout: float) -> int:
        """Settle what came back, send what there is room for, then wait for news; how many were
        sent."""
        try:
            self._settle()
            sent = self._fill()
        except Unavailable as error:
            log.warning("outbox_unavailable", reason=str(error))
            self._news.wait(min(timeout, STORE_PAUSE_S))
            self._news.clear()
            return 0
        if sent == 0 or self._room() <= 0:
            self._news.wait(timeout)
        self._news.clear()
        return sent

    def _room(self) -> int:
        """How many may be sent now."""
        window = self._window if self._barren < BARREN else 1
        return min(window - len(self._in_flight), self._line.room())

    def _fill(self) -> int:
        room = self._room()
        if room <= 0:
            self._check_overdue()
            return 0
        busy = len(self._in_flight) + len(self._delivered) + len(self._refused)
        sent = 0
        for seq, message in self._backlog.pending(busy + room, self._clock()):
            if seq in self._in_flight or seq in self._delivered or seq in self._refused:
                continue
            if sent == room:
                break
            self._in_flight[seq] = (message, time.monotonic())
            self._line.send(message, self._on_done(seq))
            sent += 1
        self.status.in_flight = len(self._in_flight)
        self._check_overdue()
        return sent

    def _on_done(self, seq: int) -> Callable[[Outcome], None]:
        def done(outcome: Outcome) -> None:
            self._settled.put((seq, outcome))
            self._news.set()

        return done

    def _settle(self) -> None:
        lost = None
        while not self._settled.empty():
            seq, outcome = self._settled.get_nowait()
            message, _ = self._in_flight.pop(seq)
            if outcome.state == "acked":
                self._barren = 0
                self._delivered.add(seq)
                self.status.acked += 1
                self.status.last_success_at = self._clock()
                self.status.alarms.pop(message.topic, None)
            elif outcome.state == "refused":
                self._refused[seq] = outcome.reason
                self._alarm(message.topic, outcome)
            else:
                self.status.lost += 1
                lost = (seq, message)
        if lost is not None and not self._in_flight:
            self._count_loss(*lost)
        self.status.in_flight = len(self._in_flight)
        if self._delivered:
            self._backlog.sent(sorted(self._delivered))
            self._delivered.clear()
        for seq, reason in list(self._refused.items()):
            self._park(seq, reason)

    def _count_loss(self, seq: int, message: Outgoing) -> None:
        """All that was in flight is lost. A message that the broker cannot bear ends connection
        after connection, and everything behind it would wait for ever."""
        self._barren += 1
        if self._barren >= BARREN + BARREN_ALONE:
            self._barren = 0
            reason = f"the connection ended {BARREN_ALONE} times while only this was in flight"
            self._refused[seq] = reason
            self._alarm(message.topic, Outcome("refused", reason))

    def _park(self, seq: int, reason: str) -> None:
        now = self._clock()
        self._backlog.park(seq, lambda refusals: now + park_s(refusals - 1), reason)
        del self._refused[seq]

    def _alarm(self, topic: str, outcome: Outcome) -> None:
        self.status.refused += 1
        if topic not in self.status.alarms:
            log.error(
                "publish_refused", topic=topic, reason=outcome.reason, code=f"0x{outcome.code:02x}"
            )
            if len(self.status.alarms) >= ALARMS_KEPT:
                self.status.alarms.pop(next(iter(self.status.alarms)))
        self.status.alarms[topic] = outcome.reason

    def _check_overdue(self) -> None:
        if not self._in_flight:
            return
        oldest = min(since for _, since in self._in_flight.values())
        if time.monotonic() - oldest > PUBACK_TIMEOUT_S:
            self._line.reset(f"no PUBACK for {PUBACK_TIMEOUT_S:.0f} s")
