"""Plain scalars, and how source times are judged."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.decode.pace import AGREEING, Pace
from edge_agent.decode.value import parse_number
from edge_agent.domain.telemetry import Quality


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("23.5", 23.5),
        ("23,5", 23.5),
        ("23.5 °C", 23.5),
        ("23,5°C", 23.5),
        (" -4 bar\n", -4.0),
        ("1 234,5 L/min", 1234.5),
        ("1\u202f234", 1234.0),
        ("-1.5e3", -1500.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("true", 1.0),
        ("False", 0.0),
        ("98 %", 98.0),
        ("inf", math.inf),
    ],
)
def test_numbers_as_people_and_machines_write_them(text: str, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "online", "nancy", "info", "1,234.5", "1.2.3", "2026-11-23", "1_0", "0x1f", "12 34"],
)
def test_what_is_no_number(text: str) -> None:
    assert parse_number(text) is None


@given(st.text(max_size=60))
def test_any_text_is_a_number_or_none(text: str) -> None:
    value = parse_number(text)
    assert value is None or isinstance(value, float)


@given(st.floats())
def test_what_python_writes_is_read_back(value: float) -> None:
    assert parse_number(str(value)) == pytest.approx(value, nan_ok=True, rel=0)


def judge(pace: Pace, at: float, arrived: float) -> Quality:
    return pace.judge(at, arrived, 60.0, 300.0)


def test_a_recording_played_fast_is_good_whatever_our_clock_says() -> None:
    pace = Pace()
    for step in (1.0, 600.0, 86_400.0):
        start = pace.newest or 1e9
        for number in range(1, 30):
            quality = judge(pace, start + number * step, 1.7e9 + number / 1000)
            assert quality is Quality.GOOD or (step > 1 and number <= AGREEING + 1)


def test_one_leap_ahead_is_not_believed_and_spoils_nothing() -> None:
    pace = Pace()
    for second in range(5):
        assert judge(pace, 1e9 + second, 1e9 + second) is Quality.GOOD
    assert judge(pace, 4e9, 1e9 + 5) is Quality.FUTURE
    assert judge(pace, 1e9 + 6, 1e9 + 6) is Quality.GOOD


def test_old_readings_are_late_until_they_agree_on_a_clock_set_back() -> None:
    pace = Pace()
    for second in range(5):
        judge(pace, 1e9 + second, 1e9 + second)
    told = [judge(pace, 9e8 + second, 1e9 + second) for second in range(20)]
    assert told == [Quality.LATE] * (AGREEING - 1) + [Quality.GOOD] * (21 - AGREEING)


def test_a_source_that_was_away_is_believed_at_once() -> None:
    pace = Pace()
    for second in range(5):
        judge(pace, 1e9 + second, 1e9 + second)
    assert judge(pace, 1e9 + 90_000, 1e9 + 90_000) is Quality.GOOD
