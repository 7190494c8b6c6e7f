"""The database's migrations: numbered files, applied forward, each in one transaction."""

from __future__ import annotations

import sqlite3
from importlib.resources import files
from pathlib import Path

from edge_agent.errors import BadConfig
from edge_agent.store.connection import Connection


def migrations() -> list[tuple[int, str]]:
    """(version, script) of every migration, ascending."""
    folder = files("edge_agent.store") / "migrations"
    found = [
        (int(entry.name.split("_", 1)[0]), entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    ]
    return sorted(found)


def version_of(connection: Connection) -> int:
    """The schema version that the file carries; 0 is an empty one."""
    return int(connection.execute("PRAGMA user_version")[0][0])


def migrate(connection: Connection, scripts: list[tuple[int, str]] | None = None) -> Path | None:
    """Bring the schema to the newest version; return where the copy made before lies, if any.

    Raises ``BadConfig`` where the file comes from a newer program.
    """
    scripts = migrations() if scripts is None else scripts
    newest = scripts[-1][0]
    before = version_of(connection)
    if before > newest:
        raise BadConfig(
            f"{connection.path}: written by a newer edge-agent (schema {before}, this one knows "
            f"{newest}); install that version again, or move the file away to begin a new one"
        )
    if before == newest:
        return None
    copy = None
    if before:
        copy = connection.path.with_name(f"{connection.path.name}.before-{newest}")
        connection.backup_to(copy)
    for version, script in scripts:
        if version > before:
            with connection.transaction():
                for statement in statements(script):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version}")
    return copy


def statements(script: str) -> list[str]:
    """The script's single statements; ``executescript`` would commit between them."""
    found, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found
