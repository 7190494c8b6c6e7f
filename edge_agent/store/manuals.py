"""Full-text search in the manuals of a plant: a folder of texts, indexed in a file of its own.

The index can be made again at any time, so it lies beside the database, not in it, and a damaged
one is thrown away. Files are read again when size or time changed. What cannot be read is left out
and named once; a search never fails a diagnosis.
"""

from __future__ import annotations

import re
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path

import structlog

from edge_agent.domain.diagnosis import ManualPassage

FILE_NAME = "manuals.db"
SUFFIXES = frozenset((".md", ".markdown", ".txt"))
MAX_FILES = 500
MAX_FILE_KB = 4_096
MAX_TOTAL_MB = 32
"""Text that is indexed in all; the index takes about twice that on the disk."""
MAX_DEPTH = 6
MAX_LISTED = 20_000
"""Entries of the folder that are looked at, whatever they are."""
SECTION_CHARS = 2_000
"""A longer section is parted."""
LOOK_S = 60.0
"""Between two looks at the folder, seconds."""
SNIPPET_TOKENS = 48
FORMAT = 1

_HEADING = re.compile(
    r"^#{1,6}\s+(.{1,200})$|^(?=\S)([^\n]{1,120})\n(?:={3,}|-{3,})$", re.MULTILINE
)
_SCHEMA = (
    "CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER)",
    "CREATE VIRTUAL TABLE sections USING fts5(path UNINDEXED, heading, body,"
    " tokenize = 'porter unicode61 remove_diacritics 2')",
)
log = structlog.get_logger()


class Manuals:
    """The index of one folder. Not thread-safe: the diagnosis loop alone uses it. ``folder`` gives
    the folder as the settings have it now; None: there are no manuals."""

    def __init__(
        self,
        state_dir: Path,
        folder: Callable[[], Path | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = state_dir / FILE_NAME
        self._folder_now = folder
        self.folder = Path()
        self._clock = clock
        self._looked_at: float | None = None
        self._told: set[str] = set()

    def search(
        self, words: Sequence[str], patterns: Sequence[str], count: int
    ) -> list[ManualPassage]:
        """The ``count`` best passages for ``words``, best first (BM25; a heading counts three
        times), of files that match a pattern; empty where there is none or nothing can be read."""
        folder = self._folder_now()
        if folder is None:
            return []
        if folder != self.folder:
            self.folder, self._looked_at = folder, None
        for last in (False, True):
            try:
                with closing(self._connect()) as database:
                    self._refresh(database)
                    return self._find(database, words, patterns, count)
            except sqlite3.Error as error:
                self._tell("manuals_index_discarded" if not last else "manuals_unusable", error)
                self._discard()
            except OSError as error:
                self._tell("manuals_unusable", error)
                return []
        return []

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._file, isolation_level=None)
        try:
            _prepare(database)
        except BaseException:
            database.close()
            raise
        return database

    def _refresh(self, database: sqlite3.Connection) -> None:
        """Read what changed in the folder, at most once in ``LOOK_S``."""
        now = self._clock()
        if self._looked_at is not None and now - self._looked_at < LOOK_S:
            return
        there = dict(self._listed())
        rows = database.execute("SELECT path, size, mtime_ns FROM files").fetchall()
        known = {path: (size, mtime) for path, size, mtime in rows}
        database.execute("BEGIN")
        for path in known.keys() - there.keys():
            _forget(database, path)
        for path, mark in there.items():
            if known.get(path) != mark:
                _forget(database, path)
                self._read(database, path, mark)
        database.execute("COMMIT")
        self._looked_at = now

    def _listed(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Path below the folder and (size, time) of each text, within the bounds."""
        count = total = 0
        for path in sorted(islice(self.folder.rglob("*"), MAX_LISTED)):
            name = path.relative_to(self.folder).as_posix()
            if path.suffix.lower() not in SUFFIXES or name.count("/") >= MAX_DEPTH:
                continue
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                continue
            count, total = count + 1, total + found.st_size
            if found.st_size > MAX_FILE_KB * 1024:
                self._tell("manual_left_out", f"{name}: larger than {MAX_FILE_KB} KB")
            elif count > MAX_FILES or total > MAX_TOTAL_MB * 1_048_576:
                self._tell(
                    "manual_left_out",
                    f"{name}: more than {MAX_FILES} files or {MAX_TOTAL_MB} MB of manuals",
                )
                return
            else:
                yield name, (found.st_size, found.st_mtime_ns)

    def _read(self, database: sqlite3.Connection, path: str, mark: tuple[int, int]) -> None:
        """Index one file; one that cannot be read is known, so that it is not tried each time."""
        try:
            text = (self.folder / path).read_bytes()[: MAX_FILE_KB * 1024].decode("utf-8-sig")
        except (OSError, ValueError) as error:
            self._tell("manual_left_out", f"{path}: no UTF-8 text that can be read: {error}")
            text = ""
        database.execute("INSERT INTO files VALUES (?, ?, ?)", (path, *mark))
        database.executemany(
            "INSERT INTO sections (path, heading, body) VALUES (?, ?, ?)",
            [(path, heading, body) for heading, body in sections_of(text.replace("\0", " "))],
        )

    def _find(
        self,
        database: sqlite3.Connection,
        words: Sequence[str],
        patterns: Sequence[str],
        count: int,
    ) -> list[ManualPassage]:
        quoted = ['"{}"'.format(word.replace('"', '""')) for word in words if word.strip()]
        if not quoted:
            return []
        rows = database.execute(
            "SELECT path, heading, snippet(sections, 2, '', '', '…', ?) AS text FROM sections"
            " WHERE sections MATCH ? ORDER BY bm25(sections, 0.0, 3.0, 1.0), rowid LIMIT ?",
            (SNIPPET_TOKENS, " OR ".join(quoted), count * 20 if patterns else count),
        )
        found = [
            ManualPassage(source=path, section=heading, text=text)
            for path, heading, text in rows
            if not patterns or any(fnmatchcase(path, pattern) for pattern in patterns)
        ]
        return found[:count]

    def _discard(self) -> None:
        self._looked_at = None
        try:
            for suffix in ("", "-journal"):
                Path(f"{self._file}{suffix}").unlink(missing_ok=True)
        except OSError as error:
            self._tell("manuals_unusable", error)

    def _tell(self, event: str, reason: object) -> None:
        text = f"{event}: {reason}"
        if text not in self._told and len(self._told) < MAX_FILES:
            self._told.add(text)
            log.warning(event, folder=str(self.folder), reason=str(reason))


def sections_of(text: str) -> list[tuple[str, str]]:
    """(heading, body) of each section of a text, Markdown or plain; long ones in parts."""
    found: list[tuple[str, str]] = []
    heading, start = "", 0
    for match in _HEADING.finditer(text):
        found += _parts(heading, text[start : match.start()])
        heading, start = (match[1] or match[2] or "").strip().rstrip("#").strip(), match.end()
    return found + _parts(heading, text[start:])


def _parts(heading: str, body: str) -> list[tuple[str, str]]:
    """A section, cut at paragraphs or, where there is none, anywhere."""
    parts, rest = [], body.strip()
    while len(rest) > SECTION_CHARS:
        cut = max(rest.rfind("\n\n", 1, SECTION_CHARS), rest.rfind(". ", 1, SECTION_CHARS))
        cut = cut + 1 if cut > SECTION_CHARS // 4 else SECTION_CHARS
        parts.append((heading, rest[:cut].strip()))
        rest = rest[cut:].strip()
    return parts + ([(heading, rest)] if rest else [])


def _forget(database: sqlite3.Connection, path: str) -> None:
    database.execute("DELETE FROM sections WHERE path = ?", (path,))
    database.execute("DELETE FROM files WHERE path = ?", (path,))


def _prepare(database: sqlite3.Connection) -> None:
    """Give a new file its tables. Raises ``sqlite3.DatabaseError`` for one of another format."""
    database.execute("PRAGMA cache_size = -1000")
    database.execute("PRAGMA synchronous = OFF")  # made again if it is lost
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version == FORMAT:
        return
    if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise sqlite3.DatabaseError(f"its format is {version}, not {FORMAT}")
    for statement in _SCHEMA:
        database.execute(statement)
    database.execute(f"PRAGMA user_version = {FORMAT}")
