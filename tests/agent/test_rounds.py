"""Check-ups and shift summaries: due by the clock, done once, and only while the clock is sane."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, timedelta, timezone
from pathlib import Path

import pytest
from findings import finding
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.casebook import Casebook
from edge_agent.config.load import parse_settings
from edge_agent.config.settings import Settings, StoreSection
from edge_agent.diagnose.phrases import ENGLISH, GERMAN
from edge_agent.diagnose.shift import LISTED, summed_up
from edge_agent.domain.card import Card
from edge_agent.domain.feedback import Feedback
from edge_agent.domain.finding import IncidentPhase, Window
from edge_agent.domain.job import JobState
from edge_agent.domain.summary import ShiftSummary, SummaryIncident
from edge_agent.errors import BadConfig
from edge_agent.messages import TOPICS, schema_of
from edge_agent.rounds import Rounds
from edge_agent.store.database import Store
from edge_agent.timetable import DAY_S, last_shift, turn

NOW = 1_793_600_000.0
HOUR = 3600.0


class Plant:
    """Rounds on a real store; what machines there are and how they stand is told."""

    def __init__(self, folder: Path, **report: object) -> None:
        self.now = NOW
        self.store = Store.open(folder, StoreSection(ballast_mb=0), clock=lambda: self.now)
        self.settings = parse_settings({"report": report}, where="test")
        self.states = {"pump-1": "quiet", "fan-1": "learning"}
        self.cards = {"pump-1": Card(equipment="pump-1", area="hall 2")}
        self.book = Casebook(self.store, self.settings, self.cards.get, lambda: None)

    def rounds(self) -> Rounds:
        return Rounds(
            self.book,
            settings=lambda: self.settings,
            states=lambda: self.states,
            current=lambda name: finding(equipment=name),
            card_for=self.cards.get,
            wake=lambda: None,
        )

    def jobs(self) -> list[str]:
        return [job.equipment for job in self.store.jobs.list()]

    def summaries(self) -> dict[str, ShiftSummary]:
        told = {}
        for _, message in self.store.outbox.pending(100, self.now):
            if "/summary/" in message.topic:
                summary = ShiftSummary.model_validate_json(message.payload)
                told[message.topic.rsplit("/", 1)[1]] = summary
        return told


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Callable[..., Plant]]:
    made: list[Plant] = []

    def build(**report: object) -> Plant:
        made.append(Plant(tmp_path, **report))
        return made[-1]

    yield build
    for one in made:
        one.store.close()


def test_a_quiet_machine_is_looked_at_once_a_turn_also_over_a_restart(
    plant: Callable[..., Plant],
) -> None:
    here = plant(checkup_h=4.0)
    rounds = here.rounds()
    for second in range(0, 60, 6):
        rounds.tick(NOW + second)
    here.rounds().tick(NOW + 70)  # the agent was started again
    assert here.jobs() == ["pump-1"]
    [job] = here.store.jobs.list()
    assert (job.trigger, job.priority) == ("checkup", 5)
    rounds.tick(NOW + 4 * HOUR)
    assert here.jobs() == ["pump-1", "pump-1"]
    here.states["fan-1"] = "open"
    rounds.tick(NOW + 4 * HOUR + 10)
    assert here.jobs() == ["pump-1", "pump-1"]  # an incident has diagnoses of its own
    here.states["fan-1"] = "quiet"
    rounds.tick(NOW + 4 * HOUR + 20)
    assert here.jobs()[0] == "fan-1"


def test_an_incident_goes_before_a_checkup(plant: Callable[..., Plant]) -> None:
    here = plant(checkup_h=1.0)
    here.rounds().tick(NOW)
    here.book.record([finding("hot", equipment="pump-2")])
    claimed = here.store.jobs.claim(NOW + 3 * HOUR)
    assert claimed is not None
    assert claimed.equipment == "pump-2"


@pytest.mark.parametrize("now", [0.0, 1_000_000.0, 9e9])
def test_nothing_is_scheduled_while_the_clock_cannot_be_right(
    plant: Callable[..., Plant], now: float
) -> None:
    here = plant(checkup_h=1.0, shift_ends=["06:00"])
    here.rounds().tick(now)
    assert here.jobs() == []
    assert here.summaries() == {}


def test_by_default_nothing_is_scheduled(plant: Callable[..., Plant]) -> None:
    here = plant()
    here.rounds().tick(NOW)
    assert here.jobs() == []
    assert here.store.snapshots.get("shift", "shift") is None


def end_after(now: float) -> str:
    """A time of day, here, within the hour after ``now``."""
    return time.strftime("%H:%M", time.localtime(now + 30 * 60))


def test_a_shift_is_summed_up_once_by_area(plant: Callable[..., Plant]) -> None:
    here = plant(shift_ends=[end_after(NOW)], areas={"boiler house": ["boiler-*"]})
    here.rounds().tick(NOW)  # the shift before: nobody watched it
    assert here.summaries() == {}
    here.now = NOW + 60
    here.book.record([finding("a", equipment="pump-1"), finding("b", equipment="mill")])
    closed = finding("b", 1, IncidentPhase.CLOSED, equipment="mill")
    here.book.record([closed.model_copy(update={"closed_at": 1500.0})])
    said = Feedback(
        incident_id="b",
        equipment="mill",
        fingerprints=("x",),
        verdict="false_alarm",
        opened_at=1.0,
        given_at=2.0,
    )
    here.store.feedback.put(said)
    here.now = NOW + 2 * HOUR
    here.rounds().tick(here.now)
    told = here.summaries()
    assert set(told) == {"hall 2", "plant", "boiler house"}
    assert (told["hall 2"].count, told["hall 2"].open, told["hall 2"].machines) == (1, 1, 1)
    assert told["hall 2"].incidents[0].closed_at is None
    assert (told["plant"].count, told["plant"].open) == (1, 0)
    assert told["plant"].incidents[0].operator == "false_alarm"
    assert told["boiler house"].text.startswith("No incident in boiler house from ")
    before = [message.key for _, message in here.store.outbox.pending(100, here.now)]
    here.rounds().tick(here.now + 100)  # also after a restart
    assert [message.key for _, message in here.store.outbox.pending(100, here.now)] == before
    [shape] = [topic for topic in TOPICS if topic.address == "summary/{area}"]
    schema = schema_of(shape)
    assert set(json.loads(told["plant"].model_dump_json())) == set(schema["properties"])


def test_a_shift_that_a_wrong_clock_told_does_not_silence_the_next(
    plant: Callable[..., Plant],
) -> None:
    here = plant(shift_ends=[end_after(NOW)])
    here.rounds().tick(NOW + 3650 * DAY_S)
    here.rounds().tick(NOW + 2 * HOUR)
    assert set(here.summaries()) == {"hall 2", "plant"}


def test_a_diagnosed_incident_is_told_with_its_fault() -> None:
    one = SummaryIncident(
        incident_id="a",
        equipment="pump-1",
        opened_at=1.0,
        closed_at=None,
        reason="flow fell",
        fault="Leak",
        probability=0.8,
        severity="warning",
        operator=None,
    )
    window = Window(start=NOW - 8 * HOUR, end=NOW)
    many = [one, one.model_copy(update={"equipment": "pump-2", "fault": None, "closed_at": 2.0})]
    told = summed_up("hall", window, many * 60, machines=2, agent_id="gw", now=NOW, phrases=ENGLISH)
    assert (told.count, len(told.incidents), told.more, told.open) == (
        120,
        LISTED,
        120 - LISTED,
        60,
    )
    assert "pump-1: Leak." in told.text
    assert "120" in told.text
    german = summed_up("Halle", window, [], machines=0, agent_id="g", now=NOW, phrases=GERMAN)
    assert german.text.startswith("Kein Störfall in Halle von ")
    assert german.language == "de"


@given(st.floats(NOW, NOW + 400 * DAY_S), st.integers(-12, 14))
def test_the_last_shift_ended_before_now_and_began_at_the_end_before(
    now: float, hours: int
) -> None:
    zone = timezone(timedelta(hours=hours))
    found = last_shift(now, ("06:00", "14:00", "22:00", "06:00"), zone)
    assert found is not None
    start, end = found
    assert start < end <= now < end + 8 * HOUR
    assert end - start == 8 * HOUR


def test_one_shift_a_day_lasts_a_day_and_none_is_none() -> None:
    assert last_shift(NOW, ("06:00",), UTC) == (
        (NOW // DAY_S - (NOW % DAY_S < 6 * HOUR)) * DAY_S + 6 * HOUR - DAY_S,
        (NOW // DAY_S - (NOW % DAY_S < 6 * HOUR)) * DAY_S + 6 * HOUR,
    )
    assert last_shift(NOW, (), UTC) is None


def test_turns_are_spread_over_the_period() -> None:
    changes = {
        name: [turn(NOW + m * 60, HOUR, name) for m in range(61)] for name in map(str, range(40))
    }
    moments = {tuple(turns).index(turns[0] + 1) for turns in changes.values()}
    assert len(moments) > 10
    assert all(turns[-1] == turns[0] + 1 for turns in changes.values())


def test_routine_does_not_drive_out_what_happened(plant: Callable[..., Plant]) -> None:
    here = plant(checkup_h=1.0)
    here.book.record([finding("hot")])
    rounds = here.rounds()
    for hour in range(40):
        here.now = NOW + hour * HOUR
        rounds.tick(here.now)
    while (job := here.store.jobs.claim(NOW + 50 * HOUR)) is not None:
        here.store.jobs.finish(job, JobState.DONE)
    here.store.jobs.prune(keep=16)
    left = here.store.jobs.list()
    assert len(left) == 3
    assert [job.incident_id for job in left if job.trigger == "incident"] == ["hot"]


@pytest.mark.parametrize(
    "report", [{"shift_ends": ["25:00"]}, {"checkup_h": -1}, {"areas": {"": ["a"]}}]
)
def test_a_wrong_setting_is_refused_with_its_place(report: dict[str, object]) -> None:
    with pytest.raises(BadConfig, match="report"):
        parse_settings({"report": report}, where="test")
    assert Settings().report.checkup_h == 0
