"""CSV and Influx line protocol → rows. Pure."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from edge_agent.decode.name import shown
from edge_agent.decode.sample import Sample
from edge_agent.decode.source import Source
from edge_agent.decode.timestamp import UNITS
from edge_agent.decode.value import parse_number
from edge_agent.errors import BadPayload

LONGEST_FIELD = 10_000


def csv_rows(source: Source, payload: bytes) -> list[dict[str, object]]:
    """One object per line, values that read as numbers as floats. Raises ``BadPayload``."""
    section = source.section
    lines = _text(payload).splitlines()
    reader = csv.reader(lines, delimiter=section.delimiter, strict=True)
    columns = list(section.columns)
    rows: list[dict[str, object]] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not columns:
                columns = [cell.strip() for cell in cells]
                continue
            if len(cells) != len(columns):
                raise BadPayload(
                    f"line {reader.line_num} has {len(cells)} columns, not {len(columns)}"
                )
            rows.append(_row(source, columns, cells))
    except csv.Error as error:
        raise BadPayload(f"no CSV: line {reader.line_num}: {error}") from None
    return rows


def _row(source: Source, columns: list[str], cells: list[str]) -> dict[str, object]:
    row: dict[str, object] = {}
    for column, cell in zip(columns, cells, strict=True):
        if column == "_" or not cell.strip():
            continue
        number = None if column in source.as_text else parse_number(cell)
        row[column] = cell.strip() if number is None else number
    return row


_PART = re.compile(
    r"""((?:[^\\," =]|\\.|\\)++)=("(?:[^"\\]|\\.)*+"|(?:[^\\," ]|\\.|\\)++)(?:,(?=.)|$)""",
    re.DOTALL,
)
_SPLIT = re.compile(r"""(?:[^\\ "]|\\.|\\|"(?:[^"\\]|\\.)*+")++""", re.DOTALL)
_ESCAPED = re.compile(r"\\([,= \"\\])")


def influx_samples(source: Source, payload: bytes) -> Iterator[Sample]:
    """Every field of every line: ``measurement,tag=x field=1.5,other=2i 1700000000000000000``.

    A field called ``value`` takes the measurement's name. The timestamp counts nanoseconds, or
    what ``time_format`` says. Raises ``BadPayload``.
    """
    per_second = UNITS.get(source.section.time_format, 1e9)
    for number, line in enumerate(_text(payload).split("\n"), 1):
        line = line.strip("\r ")  # noqa: PLW2901 - the line without what no grammar counts
        if line and not line.startswith("#"):
            try:
                yield from _influx_line(source, line, per_second)
            except ValueError as error:
                raise BadPayload(f"no Influx line {number}: {error}") from None


def _influx_line(source: Source, line: str, per_second: float) -> Iterator[Sample]:
    parts = _SPLIT.findall(line)
    if not 2 <= len(parts) <= 3 or " ".join(parts) != line:
        raise ValueError("a line is measurement and tags, a blank, fields, perhaps a time")
    measurement, _, tags = re.sub(r"(?<!\\),", "\0", parts[0], count=1).partition("\0")
    measurement = _ESCAPED.sub(r"\1", measurement)
    names = {key: _ESCAPED.sub(r"\1", text) for key, text in _pairs(tags)}
    at = int(parts[2][:30]) / per_second if len(parts) == 3 else None
    if at is not None and not 0 <= at < 2.5e11:
        raise ValueError("the time is out of range; is time_format its unit?")
    equipment = None
    if source.equipment_from is not None:
        tag = ".".join(source.equipment_from)
        equipment = measurement if tag == "measurement" else names.get(tag)
        if equipment is None:
            raise ValueError(f"no tag {shown(tag)} that names the machine")
    for field, text in _pairs(parts[1]):
        key = measurement if field == "value" else field
        yield Sample(key, _influx_value(text), equipment=equipment, at=at)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        found = _PART.match(text, position)
        if found is None:
            raise ValueError(f"no key=value at {shown(text[position : position + 30])}")
        position = found.end()
        yield _ESCAPED.sub(r"\1", found[1]), found[2]


_BOOLEANS = {"t": True, "true": True, "f": False, "false": False}


def _influx_value(text: str) -> object:
    if text.startswith('"'):
        return _ESCAPED.sub(r"\1", text[1:-1])
    known = _BOOLEANS.get(text.lower())
    if known is not None:
        return known
    return float(text[:-1] if text.endswith(("i", "u")) else text)


def _text(payload: bytes) -> str:
    try:
        return payload.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadPayload(f"text that is not UTF-8 at byte {error.start}") from None
