"""Recordings of telemetry: CSV files, plain or gzipped, with a time column and one per signal.

What spreadsheets and loggers write is read as it is: comma, semicolon or tab; decimal commas
with semicolons; ISO times, Unix seconds or milliseconds, or a counter; holes as empty cells.
"""

from __future__ import annotations

import csv
import gzip
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TextIO

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import BadPayload

TIME_NAMES = ("timestamp", "time", "datetime", "date", "ts", "t", "t_s")
"""Headings that mark the time column; without one it is the first column."""
HOLES = frozenset({"", "nan", "na", "n/a", "null", "none", "-", "?", "bad", "no data"})
"""Cells that hold no value, in any case of letters."""
MAX_ROWS = 5_000_000
"""Longer recordings must be split: a recording is held in memory."""
MAX_COLUMNS = 1_000

TimeKind = Literal["unix", "relative"]


@dataclass(frozen=True)
class Recording:
    """A recording in memory."""

    path: Path
    columns: tuple[str, ...]
    """Names of the signals, units stripped."""
    units: dict[str, str]
    """Units that the headings gave, as in ``flow [L/min]``."""
    times: NDArray[np.float64]
    """Shape (rows,). Unix seconds, or for ``relative`` what the file counts, in its own unit."""
    time_kind: TimeKind
    values: NDArray[np.float64]
    """Shape (rows, columns); NaN where the recording has a hole."""
    dropped: tuple[str, ...] = ()
    """Columns without a single number (texts, labels), left out."""

    @property
    def period_s(self) -> float:
        """Median step between rows; 0 for fewer than two rows."""
        if len(self.times) < 2:
            return 0.0
        return float(np.median(np.diff(self.times)))

    @property
    def holes(self) -> int:
        """Cells without a value."""
        return int(np.isnan(self.values).sum())

    @property
    def backwards(self) -> int:
        """Rows whose time lies before that of the row above."""
        return int((np.diff(self.times) < 0).sum())

    def rows(self, origin: float = 0.0) -> Iterator[tuple[float, dict[str, float]]]:
        """(Unix seconds, signal → value) of each row; holes and empty rows are left out.

        ``origin`` is the Unix time of a ``relative`` recording's zero.
        """
        shift = origin if self.time_kind == "relative" else 0.0
        for at, row in zip(self.times.tolist(), self.values.tolist(), strict=True):
            present = {
                name: value
                for name, value in zip(self.columns, row, strict=True)
                if not math.isnan(value)
            }
            if present:
                yield at + shift, present


def read_recording(path: Path) -> Recording:
    """Read ``.csv`` or ``.csv.gz``. Raises ``BadPayload`` with file, line, column and remedy."""
    try:
        with _open(path) as file:
            return _parse(path, file)
    except FileNotFoundError:
        raise BadPayload(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise BadPayload(
            f"{path}: not UTF-8 text (byte {error.start} of a block); save it as UTF-8"
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadPayload(f"{path}: damaged gzip file ({error}); copy it again") from None
    except csv.Error as error:
        raise BadPayload(f"{path}: not a CSV file: {error}") from None
    except OSError as error:
        raise BadPayload(f"{path}: cannot be read: {error.strerror}") from error


def _open(path: Path) -> TextIO:
    """Text of the file; gzip is known by its first bytes, whatever the file is called."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    if packed:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _parse(path: Path, file: TextIO) -> Recording:
    first = file.readline()
    if not first.strip():
        raise BadPayload(f"{path}:1: empty; expected a line of column names")
    delimiter = max(",;\t", key=first.count)
    header = next(csv.reader([first], delimiter=delimiter))
    if len(header) < 2:
        raise BadPayload(
            f"{path}:1: only one column ({header[0].strip()[:40]!r}); expected a time column and "
            "one column per signal, separated by comma, semicolon or tab"
        )
    if len(header) > MAX_COLUMNS:
        raise BadPayload(f"{path}:1: {len(header)} columns; at most {MAX_COLUMNS} are read")
    names, units = _names(path, header)
    clock = _time_column(names)
    table = _table(path, file, delimiter, len(header), clock)
    return _assemble(path, names, units, clock, table)


def _names(path: Path, header: list[str]) -> tuple[list[str], dict[str, str]]:
    """Column names and the units in their brackets."""
    names: list[str] = []
    units: dict[str, str] = {}
    for number, cell in enumerate(header, start=1):
        found = re.fullmatch(r"\s*(.*?)\s*(?:[\[(]([^\])]*)[\])])?\s*", cell, re.DOTALL)
        name, unit = (found[1], found[2] or "") if found else (cell.strip(), "")
        if not name:
            name = f"column_{number}"
        if name in names:
            raise BadPayload(f"{path}:1: column {name!r} stands twice; name each column once")
        if re.fullmatch(r"[-+]?\d+(\.\d*)?", name):
            raise BadPayload(
                f"{path}:1: column {number} is called {name!r}: the first line must hold the "
                "column names, not values"
            )
        names.append(name)
        if unit:
            units[name] = unit
    return names, units


def _time_column(names: list[str]) -> int:
    lowered = [name.lower() for name in names]
    for candidate in TIME_NAMES:
        if candidate in lowered:
            return lowered.index(candidate)
    return 0


def _table(
    path: Path, file: TextIO, delimiter: str, width: int, clock: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], TimeKind]:
    """(times, cells with the time column as NaN, kind of the times)."""
    times: list[float] = []
    cells: list[list[float]] = []
    kinds: set[TimeKind] = set()
    comma = delimiter != ","
    for line, row in enumerate(csv.reader(file, delimiter=delimiter), start=2):
        if not row or all(not cell.strip() for cell in row):
            continue
        if len(row) != width:
            raise BadPayload(
                f"{path}:{line}: {len(row)} cells where the first line names {width} columns; "
                "mend or delete the line"
            )
        if len(times) >= MAX_ROWS:
            raise BadPayload(f"{path}:{line}: more than {MAX_ROWS} rows; split the recording")
        at, kind = _time(path, line, row[clock].strip())
        times.append(at)
        kinds.add(kind)
        cells.append(
            [math.nan if i == clock else _number(cell, comma) for i, cell in enumerate(row)]
        )
    if not times:
        raise BadPayload(f"{path}: no row below the column names; nothing to replay")
    if len(kinds) > 1:
        raise BadPayload(f"{path}: some times are dates and some are counters; use one kind")
    return np.array(times), np.array(cells), kinds.pop()


def _time(path: Path, line: int, text: str) -> tuple[float, TimeKind]:
    """Unix seconds, or the counter's value. A time without a zone is taken as UTC."""
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        if math.isfinite(number):
            # Unix seconds since 1973 have nine digits or more, milliseconds twelve or more.
            if number >= 1e11:
                return number / 1000.0, "unix"
            return (number, "unix") if number >= 1e8 else (number, "relative")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadPayload(
            f"{path}:{line}: time {text[:40]!r} is neither ISO 8601 (2026-11-23 06:00:00) nor a "
            "number; mend the time column or put another one first"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp(), "unix"


def _number(cell: str, decimal_comma: bool) -> float:
    """The cell's value; NaN for a hole and for text."""
    text = cell.strip()
    if text.lower() in HOLES:
        return math.nan
    if decimal_comma and text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _assemble(
    path: Path,
    names: list[str],
    units: dict[str, str],
    clock: int,
    table: tuple[NDArray[np.float64], NDArray[np.float64], TimeKind],
) -> Recording:
    times, cells, kind = table
    alive = [i for i in range(len(names)) if i != clock and not np.isnan(cells[:, i]).all()]
    if not alive:
        raise BadPayload(
            f"{path}: no column with numbers besides the time; check the decimal sign and the "
            "separator"
        )
    columns = tuple(names[i] for i in alive)
    return Recording(
        path=path,
        columns=columns,
        units={name: unit for name, unit in units.items() if name in columns},
        times=times,
        time_kind=kind,
        values=cells[:, alive],
        dropped=tuple(n for i, n in enumerate(names) if i != clock and i not in alive),
    )
