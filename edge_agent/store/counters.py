"""Numbers that outlive a restart: what was shed, refused, dropped; lives that broke off."""

from __future__ import annotations

from collections.abc import Mapping

from edge_agent.store.connection import Connection


class Counters:
    """Named counts."""

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

    def put(self, values: Mapping[str, int]) -> None:
        """Set several at once."""
        self._connection.insert_many(
            "INSERT INTO counters (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            list(values.items()),
        )
