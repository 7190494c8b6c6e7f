"""The store: one SQLite file that outlives restarts, power cuts and full disks."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import structlog

from edge_agent.config.settings import StoreSection
from edge_agent.errors import Unavailable
from edge_agent.store.ballast import Ballast
from edge_agent.store.connection import FATAL, Connection, Damaged, damage_note
from edge_agent.store.counters import Counters
from edge_agent.store.feedback import FeedbackBook
from edge_agent.store.generations import Generations
from edge_agent.store.incidents import Incidents
from edge_agent.store.jobs import Jobs
from edge_agent.store.lives import Lives
from edge_agent.store.outbox import Outbox
from edge_agent.store.records import Records
from edge_agent.store.salvage import salvage
from edge_agent.store.schema import migrate
from edge_agent.store.snapshots import Snapshots
from edge_agent.store.statelock import StateLock
from edge_agent.store.upkeep import Upkeep

FILE_NAME = "edge-agent.db"
CORRUPT_KEPT = 3
"""Damaged files kept for a look; they must not fill the disk themselves."""
MEGABYTE = 1024 * 1024
RETRY_S = 0.5
OUTBOX_SHARE = 0.5
"""Part of ``max_mb`` that waiting messages may take."""

RECORDS_SHARE = 0.15
"""Part of ``max_mb`` that records of diagnoses may take."""

Result = TypeVar("Result")
log = structlog.get_logger()


class Store:
    """Everything durable. Thread-safe; one per state directory."""

    def __init__(
        self,
        connection: Connection,
        lock: StateLock | None,
        settings: StoreSection,
        alarms: list[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Use ``Store.open``."""
        self._connection = connection
        self._lock = lock
        self.path = connection.path
        self._complained = ""
        self.alarms = alarms
        """What a person should know, oldest first; stays until the next start."""
        self.counters = Counters(connection)
        self.jobs = Jobs(connection, clock)
        self.outbox = Outbox(
            connection,
            self.counters,
            max_rows=settings.outbox_rows,
            max_bytes=_outbox_bytes(settings),
        )
        self.incidents = Incidents(connection, clock)
        self.feedback = FeedbackBook(connection)
        self.records = Records(connection, _records_bytes(settings), clock)
        self.lives = Lives(self.counters)
        self.snapshots = Snapshots(connection, clock)
        self.generations = Generations(connection, clock)
        self.upkeep = Upkeep(
            connection,
            self.jobs,
            self.outbox,
            self.incidents,
            self.feedback,
            self.records,
            Ballast(self.path.parent, settings.ballast_mb * MEGABYTE),
            alarms,
        )
        if lock is not None:
            connection.on_full = self.upkeep.make_room
            self.upkeep.hold_ballast()

    @classmethod
    def open(
        cls, path: Path, settings: StoreSection, *, clock: Callable[[], float] = time.time
    ) -> Store:
        """Open or create the database ``path`` (a folder stands for the usual file in it).

        A damaged file is set aside as ``….corrupt-N`` and a new one begun; ``alarms`` then says
        so. Raises ``Unavailable`` (another agent runs, the disk does not work) or ``BadConfig``
        (the file comes from a newer version).
        """
        path = path if path.suffix else path / FILE_NAME
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise Unavailable(
                f"{path.parent}: {error.strerror}; make the state directory writable, or name "
                "another with store.state_dir"
            ) from error
        lock = StateLock(path.parent)
        alarms: list[str] = []
        try:
            try:
                connection = _open_sound(path, settings)
            except Damaged as error:
                aside = _set_aside(path)
                connection = _open_sound(path, settings)
                alarms.append(_alarm(path, aside, error, salvage(aside, connection)))
            return cls(connection, lock, settings, alarms, clock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def view(cls, path: Path, settings: StoreSection) -> Store:
        """Look at the database without the lock and without ever writing, beside a running agent.

        Raises ``Unavailable`` where there is none."""
        path = path if path.suffix else path / FILE_NAME
        if not path.exists():
            raise Unavailable(f"{path}: no such file; has the agent run with this store.state_dir?")
        connection = Connection(path, max_bytes=settings.max_mb * MEGABYTE, read_only=True)
        return cls(connection, None, settings, [])

    def use(self, settings: StoreSection) -> None:
        """Go on with other bounds, at once; nothing that waits is dropped for it."""
        self._connection.bound(settings.max_mb * MEGABYTE)
        self.outbox.bound(max_rows=settings.outbox_rows, max_bytes=_outbox_bytes(settings))
        self.records.bound(_records_bytes(settings))
        self.upkeep.ballast.resize(settings.ballast_mb * MEGABYTE)
        self.upkeep.hold_ballast()

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing: ``BEGIN IMMEDIATE`` … ``COMMIT``; a nested use joins the outer one."""
        return self._connection.transaction()

    def on_commit(self, action: Callable[[], None]) -> None:
        """Call ``action`` once the current transaction is durable; at once outside of one."""
        self._connection.on_commit(action)

    def persist(
        self,
        work: Callable[[], Result],
        *,
        give_up: Callable[[], bool] = lambda: False,
        beat: Callable[[], None] = lambda: None,
    ) -> Result:
        """Run ``work`` in a transaction, again and again while the disk is full.

        For what must not be dropped: nothing is acknowledged meanwhile. Raises ``Unavailable``
        once ``give_up()``, and at once where trying again cannot help.
        """
        while True:
            try:
                with self.transaction():
                    return work()
            except FATAL:
                raise
            except Unavailable as error:
                if give_up():
                    raise
                if self._complained != str(error):
                    log.warning("store_cannot_write", reason=str(error))
                    self._complained = str(error)
                beat()
                time.sleep(RETRY_S)

    def bytes_on_disk(self) -> int:
        """Size of the file and its log, bytes."""
        return sum(
            name.stat().st_size for name in (self.path, Path(f"{self.path}-wal")) if name.exists()
        )

    def close(self) -> None:
        """Fold the log into the file and let go of the lock."""
        try:
            self._connection.close()
        finally:
            if self._lock is not None:
                self._lock.release()


def _outbox_bytes(settings: StoreSection) -> int:
    return int(settings.max_mb * MEGABYTE * OUTBOX_SHARE)


def _records_bytes(settings: StoreSection) -> int:
    return int(settings.max_mb * MEGABYTE * RECORDS_SHARE)


def _open_sound(path: Path, settings: StoreSection) -> Connection:
    """The database, checked and migrated; ``Damaged`` if it is not sound."""
    note = damage_note(path)
    if note.exists():
        reason = note.read_text(encoding="utf-8", errors="replace")
        note.unlink()
        raise Damaged(reason)
    connection = Connection(path, max_bytes=settings.max_mb * MEGABYTE)
    try:
        connection.check()
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_aside(path: Path) -> Path:
    """Move the damaged file and its log away; where to. The oldest of such files go."""
    taken = sorted(
        (int(name.suffix.removeprefix(".corrupt-")), name)
        for name in path.parent.glob(f"{path.name}.corrupt-*")
        if name.suffix.removeprefix(".corrupt-").isdigit()
    )
    number = taken[-1][0] + 1 if taken else 1
    aside = path.with_name(f"{path.name}.corrupt-{number}")
    for suffix in ("", "-wal"):
        source = Path(f"{path}{suffix}")
        if source.exists():
            source.replace(f"{aside}{suffix}")
    Path(f"{path}-shm").unlink(missing_ok=True)
    for _, old in taken[: max(0, len(taken) + 1 - CORRUPT_KEPT)]:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{old}{suffix}").unlink(missing_ok=True)
    return aside


def _alarm(path: Path, aside: Path, error: Damaged, saved: dict[str, int]) -> str:
    """What to tell people of a damaged file."""
    rows = ", ".join(f"{count} {table}" for table, count in saved.items() if count) or "nothing"
    message = (
        f"{path}: the database was damaged and was set aside as {aside.name}; a new one was begun "
        f"with what could be read ({rows}). Check the disk ({error})"
    )
    log.error("database_set_aside", path=str(path), aside=str(aside), reason=str(error))
    return message
