"""Messages that the broker has not acknowledged yet: kept through weeks without it, bounded."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_agent.domain.outgoing import Outgoing, OutgoingPriority
from edge_agent.store.connection import Connection
from edge_agent.store.counters import Counters

ROW_OVERHEAD = 200
"""Bytes that a row takes beside its payload, keys and index entries included, about."""
SHED_BATCH = 64
MAX_PARK_S = 3_600.0
"""No refused message waits longer; one parked further ahead met a clock that jumped."""


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """What waits and what never went."""

    waiting: int
    bytes: int
    parked: int
    shed: int
    """Dropped for room since the file began."""
    expired: int
    """Dropped for age since the file began."""
    oldest_at: float | None
    """Wall clock when the oldest waiting message was added, Unix seconds."""


class Outbox:
    """Rows in the order in which they go: by priority, then as they came."""

    def __init__(
        self, connection: Connection, counters: Counters, *, max_rows: int, max_bytes: int
    ) -> None:
        self._connection = connection
        self._counters = counters
        self._rows = 0
        self._bytes = 0
        self._recount()
        self.bound(max_rows=max_rows, max_bytes=max_bytes)

    def bound(self, *, max_rows: int, max_bytes: int) -> None:
        """Set the bounds. What waits beyond tighter ones is not shed for that: until it is sent,
        it counts as allowed, and only newer messages find no more room."""
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._kept_rows = self._rows
        self._kept_bytes = self._bytes

    def add(self, messages: Sequence[Outgoing], now: float) -> int:
        """Keep ``messages`` until they are sent; how many were new.

        One whose key still waits is not added again. A retained one replaces those that wait for
        the same topic. Past the bounds the oldest of the lowest priority are shed and counted.
        """
        added = 0
        with self._connection.transaction():
            self._connection.on_rollback(self._recount)
            self._kept_rows = min(self._kept_rows, self._rows)
            self._kept_bytes = min(self._kept_bytes, self._bytes)
            for message in messages:
                if message.retain:
                    self._delete(
                        "topic = ? AND retain = 1 AND key <> ?", message.topic, message.key
                    )
                added += self._insert(message, now)
            self._shed()
        return added

    def pending(self, limit: int, now: float) -> list[tuple[int, Outgoing]]:
        """(row, message) of the next ones to send; parked ones come when their pause is over.

        Those that outlived their time are dropped first, and counted.
        """
        self.expire(now)
        rows = self._connection.execute(
            "SELECT * FROM outbox WHERE parked_until <= ?1 OR parked_until > ?1 + ?2"
            " ORDER BY priority, seq LIMIT ?3",
            (now, MAX_PARK_S, limit),
        )
        return [(row["seq"], _outgoing(row)) for row in rows]

    def sent(self, seq: int) -> None:
        """The broker acknowledged it: it is done."""
        self.sent_all([seq])

    def sent_all(self, seqs: Sequence[int]) -> None:
        """Several at once, in one transaction."""
        with self._connection.transaction():
            self._connection.on_rollback(self._recount)
            for seq in seqs:
                self._delete("seq = ?", seq)

    def park(self, seq: int, until: Callable[[int], float], error: str) -> int:
        """The broker refused it: wait until ``until(refusals so far)``, wall clock, and keep why;
        how often it was refused so far."""
        with self._connection.transaction():
            rows = self._connection.execute(
                "UPDATE outbox SET refusals = refusals + 1, last_error = ? WHERE seq = ?"
                " RETURNING refusals",
                (error[:500], seq),
            )
            refusals = int(rows[0]["refusals"]) if rows else 0
            self._connection.change(
                "UPDATE outbox SET parked_until = ? WHERE seq = ?", (until(refusals), seq)
            )
        return refusals

    def refusals(self, seq: int) -> int:
        """How often the broker has refused that row."""
        rows = self._connection.execute("SELECT refusals FROM outbox WHERE seq = ?", (seq,))
        return int(rows[0]["refusals"]) if rows else 0

    def unpark(self) -> int:
        """Let refused messages go at once (new credentials, another broker); how many."""
        return self._connection.change("UPDATE outbox SET parked_until = 0 WHERE parked_until > 0")

    def expire(self, now: float) -> int:
        """Drop what outlived its time; how many, counted in ``outbox_expired``."""
        with self._connection.transaction():
            self._connection.on_rollback(self._recount)
            gone = self._delete("expires_at <= ?", now)
            if gone:
                self._counters.add("outbox_expired", gone)
        return gone

    def shed(self, priority: OutgoingPriority, limit: int) -> int:
        """Make room: drop the oldest of ``priority`` or less urgent ones; how many."""
        with self._connection.transaction():
            self._connection.on_rollback(self._recount)
            gone = self._delete(
                "seq IN (SELECT seq FROM outbox WHERE priority >= ?"
                " ORDER BY priority DESC, seq LIMIT ?)",
                int(priority),
                limit,
            )
            if gone:
                self._counters.add("outbox_shed", gone)
        return gone

    def counts(self) -> OutboxCounts:
        """What waits and what never went."""
        row = self._connection.execute(
            "SELECT count(*) AS waiting, coalesce(sum(size), 0) AS bytes, min(added_at) AS oldest,"
            " coalesce(sum(refusals > 0), 0) AS parked FROM outbox"
        )[0]
        counts = self._counters.all()
        return OutboxCounts(
            waiting=row["waiting"],
            bytes=row["bytes"],
            parked=row["parked"],
            shed=counts.get("outbox_shed", 0),
            expired=counts.get("outbox_expired", 0),
            oldest_at=row["oldest"],
        )

    def _insert(self, message: Outgoing, now: float) -> int:
        size = len(message.payload) + len(message.topic) + len(message.key) + ROW_OVERHEAD
        added = self._connection.change(
            "INSERT OR IGNORE INTO outbox (key, priority, topic, payload, retain, content_type,"
            " correlation_data, added_at, expires_at, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                message.key,
                int(message.priority),
                message.topic,
                message.payload,
                message.retain,
                message.content_type,
                message.correlation_data,
                now,
                message.expires_at,
                size,
            ),
        )
        self._rows += added
        self._bytes += added * size
        return added

    def _delete(self, where: str, *values: object) -> int:
        gone = self._connection.execute(
            f"DELETE FROM outbox WHERE {where} RETURNING size",  # noqa: S608 - our own constants
            values,
        )
        self._rows -= len(gone)
        self._bytes -= sum(row["size"] for row in gone)
        return len(gone)

    def _shed(self) -> None:
        while True:
            max_rows = max(self._max_rows, self._kept_rows)
            if self._rows <= max_rows and self._bytes <= max(self._max_bytes, self._kept_bytes):
                return
            surplus = self._rows - max_rows
            if not self.shed(OutgoingPriority.RESULT, max(1, min(surplus, SHED_BATCH))):
                return

    def _recount(self) -> None:
        row = self._connection.execute(
            "SELECT count(*) AS n, coalesce(sum(size), 0) AS size FROM outbox"
        )[0]
        self._rows, self._bytes = int(row["n"]), int(row["size"])


def _outgoing(row: sqlite3.Row) -> Outgoing:
    return Outgoing(
        topic=row["topic"],
        payload=bytes(row["payload"]),
        key=row["key"],
        priority=OutgoingPriority(row["priority"]),
        retain=bool(row["retain"]),
        expires_at=row["expires_at"],
        content_type=row["content_type"],
        correlation_data=row["correlation_data"],
    )
