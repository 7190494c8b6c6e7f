"""Recordings are read as loggers write them, or refused with place and remedy."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import BadPayload
from edge_agent.recording import read_recording


def write(tmp_path: Path, text: str, name: str = "r.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_times_units_and_holes(tmp_path: Path) -> None:
    recording = read_recording(
        write(
            tmp_path,
            "timestamp,flow [L/min],pressure (bar),note\n"
            "2026-01-01 00:00:00,1.5,2,ok\n"
            "2026-01-01T00:00:02Z,,3,ok\n"
            "2026-01-01T01:00:03+01:00,NaN,n/a,ok\n"
            "\n"
            "2026-01-01 00:00:04,2.5,4,ok\n",
        )
    )
    assert recording.columns == ("flow", "pressure")
    assert recording.units == {"flow": "L/min", "pressure": "bar"}
    assert recording.dropped == ("note",)
    assert recording.holes == 3
    assert recording.time_kind == "unix"
    start = 1767225600.0
    assert list(recording.rows()) == [
        (start, {"flow": 1.5, "pressure": 2.0}),
        (start + 2, {"pressure": 3.0}),
        (start + 4, {"flow": 2.5, "pressure": 4.0}),
    ]


def test_gzip_is_known_by_its_bytes_not_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "packed.csv"
    path.write_bytes(gzip.compress(b"t_s,a\n0,1\n5,2\n"))
    recording = read_recording(path)
    assert recording.time_kind == "relative"
    assert recording.period_s == 5.0
    assert [at for at, _ in recording.rows(origin=100.0)] == [100.0, 105.0]


@pytest.mark.parametrize(
    ("cell", "seconds"), [("1767225600", 1767225600.0), ("1767225600500", 1767225600.5)]
)
def test_unix_seconds_and_milliseconds(tmp_path: Path, cell: str, seconds: float) -> None:
    assert read_recording(write(tmp_path, f"ts,a\n{cell},1\n")).times[0] == seconds


def test_spreadsheets_with_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    recording = read_recording(write(tmp_path, "\ufefftime;a;b\n2026-01-01;1,5;-0,25\n"))
    assert next(iter(recording.rows()))[1] == {"a": 1.5, "b": -0.25}


def test_the_time_column_may_stand_anywhere(tmp_path: Path) -> None:
    recording = read_recording(write(tmp_path, "a,Timestamp\n7,2026-01-01\n"))
    assert recording.columns == ("a",)


BAD = {
    "empty": ("", ":1: empty"),
    "one column": ("just text\nmore\n", ":1: only one column"),
    "no rows": ("t,a\n", "no row below"),
    "short line": ("t,a,b\n1,2,3\n2,3\n", ":3: 2 cells where the first line names 3"),
    "bad time": ("t,a\nyesterday,2\n", ":2: time 'yesterday'"),
    "mixed times": ("t,a\n1,2\n2026-01-01,2\n", "some times are dates"),
    "no header": ("1.5,2\n2.5,3\n", "first line must hold the column names"),
    "twice": ("t,a,a\n1,2,3\n", "stands twice"),
    "no numbers": ("t,a\n1,x\n2,y\n", "no column with numbers"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, kind: str) -> None:
    text, expected = BAD[kind]
    path = write(tmp_path, text)
    with pytest.raises(BadPayload) as refusal:
        read_recording(path)
    assert str(path) in str(refusal.value)
    assert expected in str(refusal.value)


@pytest.mark.parametrize("cut", [5, 25, 60])
def test_a_damaged_gzip_is_refused(tmp_path: Path, cut: int) -> None:
    packed = gzip.compress(b"t,a\n" + b"".join(b"%d,%d\n" % (i, i * 7919) for i in range(500)))
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(packed[:-cut])
    with pytest.raises(BadPayload, match="damaged gzip"):
        read_recording(path)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("t,Drück\n1,2\n".encode("latin-1"))
    with pytest.raises(BadPayload, match="UTF-8"):
        read_recording(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadPayload, match="no such file"):
        read_recording(tmp_path / "absent.csv")


@given(data=st.binary(max_size=300))
def test_any_bytes_are_a_recording_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "x.csv"
    path.write_bytes(data)
    try:
        recording = read_recording(path)
    except BadPayload:
        return
    assert recording.values.shape == (len(recording.times), len(recording.columns))


@given(
    values=st.lists(
        st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, width=64)),
        min_size=1,
        max_size=30,
    ).filter(lambda vs: any(v is not None for v in vs))
)
def test_what_was_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, values: list[float | None]
) -> None:
    path = tmp_path_factory.mktemp("trip") / "x.csv"
    cells = ["" if v is None else repr(v) for v in values]
    path.write_text("t,a\n" + "".join(f"{i},{c}\n" for i, c in enumerate(cells)), encoding="utf-8")
    expected = np.array([math.nan if v is None else v for v in values])
    np.testing.assert_array_equal(read_recording(path).values[:, 0], expected)
