"""What can still be read out of a damaged database, best effort."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import structlog

from edge_agent.domain.finding import Finding
from edge_agent.domain.job import Job
from edge_agent.errors import Unavailable
from edge_agent.store.connection import Connection

Check = Callable[[Any], object]
TABLES: dict[str, tuple[str, Check] | None] = {
    "generations": ("document", msgspec.json.decode),
    "outbox": ("payload", msgspec.json.decode),
    "incidents": ("document", Finding.model_validate_json),
    "jobs": ("document", Job.model_validate_json),
    "snapshots": None,
    "counters": None,
}
"""Table → the column that must still make sense, and how to tell; SQLite keeps no checksums. Most
precious first: the highest revision that was ever accepted guards against replays."""
log = structlog.get_logger()


def salvage(damaged: Path, into: Connection) -> dict[str, int]:
    """Copy every row that can be read and fits, table by table; how many of each.

    A row that a damaged page hides is lost; one that reads but breaks a rule of the schema is left
    out. Never raises for what it finds.
    """
    saved: dict[str, int] = {}
    try:
        source = sqlite3.connect(f"{damaged.resolve().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        log.warning("nothing_salvaged", path=str(damaged), reason=str(error))
        return saved
    with contextlib.closing(source):
        for table, check in TABLES.items():
            columns = [row["name"] for row in into.execute(f"PRAGMA table_info({table})")]
            rows = _readable(source, table, columns)
            if check is not None:
                rows = [row for row in rows if _sound(row[columns.index(check[0])], check[1])]
            saved[table] = _copy(rows, table, columns, into)
    log.warning("salvaged", path=str(damaged), **saved)
    return saved


def _sound(value: object, check: Check) -> bool:
    try:
        check(value)
    except (ValueError, TypeError):  # what both parsers raise
        return False
    return True


def _readable(
    source: sqlite3.Connection, table: str, columns: list[str]
) -> list[tuple[object, ...]]:
    """The rows up to the first damaged page, from either end."""
    found: dict[tuple[object, ...], None] = {}
    for order in ("ASC", "DESC"):
        key = "rowid" if table not in ("snapshots", "counters") else "1"
        query = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {key} {order}"  # noqa: S608
        with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
            for row in source.execute(query):
                found[row] = None
    return list(found)


def _copy(rows: list[tuple[object, ...]], table: str, columns: list[str], into: Connection) -> int:
    marks = ", ".join("?" * len(columns))
    statement = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608
    copied = 0
    try:
        with into.transaction():
            for row in rows:
                copied += into.change(statement, row)
    except Unavailable as error:
        log.warning("not_salvaged", table=table, reason=str(error))
        return 0
    return copied
