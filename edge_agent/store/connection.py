"""One SQLite connection behind one lock, with errors in our own words."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_agent.errors import Unavailable
from edge_agent.failpoints import reach

PAGE_BYTES = 4096
BUSY_TIMEOUT_MS = 5_000


class Damaged(Unavailable):
    """The database file is corrupt: the daemon must reopen it, which sets it aside."""


class DiskFailed(Unavailable):
    """The disk did not do what it said: what SQLite holds in memory can no longer be trusted. The
    daemon must end and open the file anew."""


class Full(Unavailable):
    """No room on the disk, or in the bound on the file: nothing was changed. Try again later."""


FATAL = (Damaged, DiskFailed)
"""Kinds of ``Unavailable`` that waiting does not cure: the process must end and open anew."""


class Connection:
    """SQLite in WAL mode, ``synchronous=FULL``: what is committed survives a loss of power.

    Versions 3.7.0 to 3.51.2 of SQLite may damage a WAL that several connections write, so there
    is exactly one of these for each file, and one lock around it.
    """

    def __init__(self, path: Path, *, max_bytes: int, read_only: bool = False) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        self._on_rollback: list[Callable[[], None]] = []
        self._on_commit: list[Callable[[], None]] = []
        self.on_full: Callable[[], None] = _nothing
        """Called after a transaction was undone for want of room; makes some for the next one."""
        self._making_room = False
        mode = "ro" if read_only else "rwc"
        with self._translate():
            self._raw = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode={mode}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=BUSY_TIMEOUT_MS / 1000,
            )
        self._raw.row_factory = sqlite3.Row
        if not read_only:
            try:
                self._configure(max_bytes)
            except BaseException:
                self._raw.close()
                raise

    def _configure(self, max_bytes: int) -> None:
        # auto_vacuum counts only before the first table; page_size only before the first page.
        for pragma in (
            f"page_size = {PAGE_BYTES}",
            "auto_vacuum = INCREMENTAL",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "temp_store = MEMORY",
            "cache_size = -2000",
            "wal_autocheckpoint = 500",
            f"journal_size_limit = {4 * 1024 * 1024}",
        ):
            self.execute(f"PRAGMA {pragma}")
        self.bound(max_bytes)

    def bound(self, max_bytes: int) -> None:
        """Let the file grow no larger; one that is larger already keeps its size."""
        self.execute(f"PRAGMA max_page_count = {max_bytes // PAGE_BYTES}")

    def execute(self, sql: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        """Run one statement and return its rows. Raises ``Unavailable`` or a kind of it."""
        with self._lock, self._translate():
            return self._raw.execute(sql, values).fetchall()

    def change(self, sql: str, values: Sequence[Any] | dict[str, Any] = ()) -> int:
        """Run one statement in a transaction and return how many rows it changed."""
        with self.transaction(), self._translate():
            return self._raw.execute(sql, values).rowcount

    def insert_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """One statement for many rows, in one transaction."""
        with self.transaction(), self._translate():
            self._raw.executemany(sql, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """``BEGIN IMMEDIATE`` … ``COMMIT``; a nested use joins the outer one. Any error undoes
        all of it."""
        with self._lock:
            if self._depth:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                return
            reach("begin")
            self.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield
                reach("commit")
                self.execute("COMMIT")
                reach("committed")
            except BaseException as error:
                self._depth = 0
                self._roll_back()
                if isinstance(error, Full):
                    self._make_room()
                raise
            self._depth = 0
            self._on_rollback.clear()
            done, self._on_commit = self._on_commit, []
        for action in done:
            action()

    def on_rollback(self, action: Callable[[], None]) -> None:
        """Call ``action`` should the current transaction be undone."""
        self._on_rollback.append(action)

    def on_commit(self, action: Callable[[], None]) -> None:
        """Call ``action`` once the current transaction is durable (at once outside of one)."""
        with self._lock:
            if self._depth:
                self._on_commit.append(action)
                return
        action()

    def _roll_back(self) -> None:
        try:
            if self._raw.in_transaction:
                self.execute("ROLLBACK")
        finally:
            self._on_commit.clear()
            actions, self._on_rollback = self._on_rollback, []
            for action in actions:
                action()

    def _make_room(self) -> None:
        if self._making_room:
            return
        self._making_room = True
        try:
            self.on_full()
        finally:
            self._making_room = False

    def checkpoint(self) -> bool:
        """Fold the log into the file and empty it; whether all of it went."""
        row = self.execute("PRAGMA wal_checkpoint(TRUNCATE)")[0]
        return not row[0]

    def vacuum(self, pages: int) -> None:
        """Give up to ``pages`` free pages back to the disk."""
        with self._lock, self._translate():
            if not self._depth:
                # It gives one page back per step, and only a script is stepped to its end.
                self._raw.executescript(f"PRAGMA incremental_vacuum({pages})")

    def check(self, *, thorough: bool = False) -> None:
        """Raise ``Damaged`` unless the file is sound; ``thorough`` compares the indexes too."""
        pragma = "integrity_check" if thorough else "quick_check"
        verdict = self.execute(f"PRAGMA {pragma}(1)")[0][0]
        if verdict != "ok":
            raise Damaged(f"{self.path}: {pragma} says {verdict!r}")

    def mark_damaged(self, reason: str) -> None:
        """Leave a note beside the file: the next start sets it aside whatever it looks like."""
        damage_note(self.path).write_text(reason, encoding="utf-8")

    def backup_to(self, path: Path) -> None:
        """A consistent copy of the whole database, written to ``path``."""
        path.unlink(missing_ok=True)
        self.execute("VACUUM INTO ?", (str(path),))

    def close(self) -> None:
        """Close the file; the WAL is folded into it."""
        with self._lock, self._translate():
            self._raw.close()

    @contextmanager
    def _translate(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise translated(error, self.path) from error


def damage_note(path: Path) -> Path:
    """Where ``mark_damaged`` leaves its note."""
    return path.with_name(f"{path.name}.damaged")


def _nothing() -> None:
    return


_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_FAILED = ("SQLITE_IOERR_FSYNC", "SQLITE_IOERR_DIR_FSYNC")
_NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_TRUNCATE")
"""A write that fails for a limit on file size or a read-only mount is not told from a full disk;
the remedy is the same."""


def translated(error: sqlite3.Error, path: Path) -> Unavailable:
    """What SQLite said, as an error that names the file and what to do."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(_NO_ROOM):
        return Full(
            f"{path}: no room for more ({error}, {name}); free space on its disk, lift limits on "
            "file size, or raise store.max_mb"
        )
    if name.startswith(_DAMAGED):
        return Damaged(
            f"{path}: the database is damaged ({error}); restart the agent, which sets the file "
            "aside and begins a new one"
        )
    if name.startswith(_FAILED):
        return DiskFailed(
            f"{path}: the disk did not keep what was written ({error}, {name}); check it, and "
            "restart the agent"
        )
    if name.startswith("SQLITE_BUSY"):
        return Unavailable(f"{path}: another program holds the database; close it ({error})")
    return Unavailable(
        f"{path}: {error} ({name or 'SQLite'}); check that its disk works, has space and can be "
        "written by the agent"
    )
