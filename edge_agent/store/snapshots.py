"""What was learned: bytes by kind and name. Losing them costs time, never correctness."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from edge_agent.store.connection import Connection


class Snapshots:
    """Baselines, the governor's bucket and the like."""

    def __init__(self, connection: Connection, clock: Callable[[], float] = time.time) -> None:
        self._connection = connection
        self._clock = clock

    def put(self, kind: str, name: str, data: bytes) -> None:
        """Keep ``data``, replacing what stood under the name."""
        self.put_all(kind, {name: data})

    def put_all(self, kind: str, snapshots: Mapping[str, bytes]) -> None:
        """Several at once, in one transaction."""
        now = self._clock()
        self._connection.insert_many(
            "INSERT INTO snapshots (kind, name, data, saved_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (kind, name) DO UPDATE SET data = excluded.data,"
            " saved_at = excluded.saved_at",
            [(kind, name, data, now) for name, data in snapshots.items()],
        )

    def get(self, kind: str, name: str) -> bytes | None:
        """What stands under the name."""
        rows = self._connection.execute(
            "SELECT data FROM snapshots WHERE kind = ? AND name = ?", (kind, name)
        )
        return bytes(rows[0]["data"]) if rows else None

    def all(self, kind: str) -> dict[str, bytes]:
        """Everything of one kind, by name."""
        rows = self._connection.execute(
            "SELECT name, data FROM snapshots WHERE kind = ? ORDER BY name", (kind,)
        )
        return {row["name"]: bytes(row["data"]) for row in rows}

    def delete(self, kind: str, name: str) -> None:
        """Forget it; nothing happens where it is not there."""
        self._connection.change("DELETE FROM snapshots WHERE kind = ? AND name = ?", (kind, name))
