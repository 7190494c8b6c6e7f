"""Documents that must never be lost: the roll-out's state with the last good settings."""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_agent.store.connection import Connection

KEPT = 5
"""Versions kept of each kind; the newest counts, the others are for people."""


class Generations:
    """One current document of each kind, and the few before it."""

    def __init__(self, connection: Connection, clock: Callable[[], float] = time.time) -> None:
        self._connection = connection
        self._clock = clock

    def load(self, kind: str) -> bytes | None:
        """The current document; None before the first ``save``."""
        rows = self._connection.execute(
            "SELECT document FROM generations WHERE kind = ? ORDER BY version DESC LIMIT 1",
            (kind,),
        )
        return bytes(rows[0]["document"]) if rows else None

    def save(self, kind: str, document: bytes) -> None:
        """Make ``document`` the current one, durably and all at once."""
        with self._connection.transaction():
            self._connection.execute(
                "INSERT INTO generations (kind, document, saved_at) VALUES (?, ?, ?)",
                (kind, document, self._clock()),
            )
            self._connection.execute(
                "DELETE FROM generations WHERE kind = ? AND version NOT IN (SELECT version FROM"
                " generations WHERE kind = ? ORDER BY version DESC LIMIT ?)",
                (kind, kind, KEPT),
            )

    def history(self, kind: str) -> list[tuple[int, float, bytes]]:
        """(version, saved at, document), newest first."""
        rows = self._connection.execute(
            "SELECT version, saved_at, document FROM generations WHERE kind = ?"
            " ORDER BY version DESC",
            (kind,),
        )
        return [(row["version"], row["saved_at"], bytes(row["document"])) for row in rows]
