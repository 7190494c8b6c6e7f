"""Schedules and the external meter."""

from __future__ import annotations

import json
import tomllib
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import parse_settings
from edge_agent.config.govern import GovernSection, ScheduleSection
from edge_agent.domain.level import Level
from edge_agent.errors import BadPayload
from edge_agent.govern.governor import Governor
from edge_agent.govern.meter import meter_watts
from edge_agent.govern.schedule import Moment, rule_at, under

NIGHT = ScheduleSection(
    name="night", days=("fri",), start="22:00", end="06:00", power_watts=12.0, power_peak_watts=20.0
)
SHIFT = ScheduleSection(name="shift", start="06:00", end="14:00", best_level=Level.SHORT)
BATTERY = ScheduleSection(name="battery", on_battery=True, power_watts=4.0)


@pytest.mark.parametrize(
    ("moment", "on_battery", "name"),
    [
        (Moment(4, 22 * 60), None, "night"),
        (Moment(5, 5 * 60 + 59), None, "night"),
        (Moment(5, 6 * 60), None, "shift"),
        (Moment(4, 3 * 60), None, None),
        (Moment(0, 13 * 60 + 59), False, "shift"),
        (Moment(0, 14 * 60), False, None),
        (Moment(0, 13 * 60), True, "battery"),
    ],
)
def test_the_first_rule_that_fits_holds(
    moment: Moment, on_battery: bool | None, name: str | None
) -> None:
    settings = GovernSection(schedule=(BATTERY, NIGHT, SHIFT))
    rule = rule_at(settings, moment, on_battery=on_battery)
    assert (rule.name if rule else None) == name


@given(st.integers(0, 6), st.integers(0, 1439))
def test_a_rule_without_times_holds_all_week(weekday: int, minute: int) -> None:
    always = GovernSection(schedule=(ScheduleSection(name="always"),))
    assert rule_at(always, Moment(weekday, minute), on_battery=None) is not None


def test_a_rule_changes_only_what_it_names() -> None:
    settings = GovernSection(power_watts=6.0, power_peak_watts=9.0)
    assert under(settings, None) is settings
    assert under(settings, SHIFT) == settings
    changed = under(settings, BATTERY)
    assert (changed.power_watts, changed.power_peak_watts) == (4.0, 9.0)


def test_the_governor_follows_the_schedule(tmp_path: Path) -> None:
    now = datetime(2026, 11, 27, 21, 59, 30).timestamp()  # noqa: DTZ001 - schedules are local time
    start = now

    def clock() -> float:
        return now

    section = GovernSection(sensor_root=tmp_path, power_watts=6.0, schedule=(NIGHT, SHIFT))
    governor = Governor(section, clock=clock, monotonic=clock, state=None)
    now += 1
    governor.sample()
    assert governor.status().budget_watts == 6.0
    now = start + 60
    governor.sample()
    assert governor.status().budget_watts == 12.0
    assert governor.status().schedule == "night"
    now = start + 8.5 * 3600
    governor.sample()
    assert governor.status().level in (Level.SHORT, Level.RULES_ONLY)
    governor.apply(section.model_copy(update={"schedule": (), "power_watts": 5.0}))
    now += 1
    governor.sample()
    assert (governor.status().budget_watts, governor.status().schedule) == (5.0, None)


def test_the_example_for_operators_is_right() -> None:
    page = Path(__file__).parents[2] / "docs/budgets.md"
    example = page.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    govern = parse_settings(tomllib.loads(example), where="docs/budgets.md").govern
    assert [rule.name for rule in govern.schedule] == ["on battery", "early shift"]


def test_a_meter_tells_watts_in_many_shapes() -> None:
    assert meter_watts(b"6.5", "", 1.0) == 6.5
    assert meter_watts(b'{"ENERGY": {"Power": "7"}}', "ENERGY.Power", 1.0) == 7.0
    assert meter_watts(b'{"kw": 0.012}', "kw", 1000.0) == pytest.approx(12.0)


@given(st.one_of(st.binary(max_size=200), st.text().map(lambda text: json.dumps(text).encode())))
def test_any_other_payload_is_the_senders_fault(payload: bytes) -> None:
    with pytest.raises(BadPayload, match="meter"):
        meter_watts(payload, "watts", 1.0)


@pytest.mark.parametrize("payload", [b"NaN", b"Infinity", b"-3", b"true", b"1e9", b"[" * 5000])
def test_numbers_that_are_no_power_are_refused(payload: bytes) -> None:
    with pytest.raises(BadPayload):
        meter_watts(payload, "", 1.0)


def test_the_meter_goes_before_other_sensors_until_it_falls_silent(tmp_path: Path) -> None:
    now = 1000.0

    def clock() -> float:
        return now

    section = GovernSection(sensor_root=tmp_path, meter_topic="plant/meter", meter_stale_s=10)
    governor = Governor(section, clock=clock, monotonic=clock, state=None)
    governor.meter(b'{"watts": 7.5}')
    now += 5
    governor.sample()
    status = governor.status()
    assert (status.watts, status.watts_measured) == (7.5, True)
    now += 6
    governor.sample()
    status = governor.status()
    assert not status.watts_measured
    assert "silent" in status.watts_source
    assert status.watts > 3.0
    assert "power sensor lost" in status.alarms
