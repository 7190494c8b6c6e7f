"""Numbers that outlive a restart: what was shed, refused, dropped."""

from __future__ import annotations

from edge_agent.store.connection import Connection


class Counters:
    """Named counts, only ever rising."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, name: str, amount: int = 1) -> None:
        """Raise ``name`` by ``amount``."""
        self._connection.change(
            "INSERT INTO counters (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            (name, amount),
        )

    def all(self) -> dict[str, int]:
        """Every count by its name."""
        rows = self._connection.execute("SELECT name, value FROM counters ORDER BY name")
        return {row["name"]: row["value"] for row in rows}
