"""What people say of incidents and baselines, and machines from which nothing comes."""

from __future__ import annotations

from streams import SIGNALS, Rows, detection, readings, rows

from edge_agent.detect.detection import Detection
from edge_agent.detect.feedback import Feedback, Opinion, covers
from edge_agent.detect.silence import Silence
from edge_agent.domain.finding import Finding, IncidentPhase, Origin


def feed(watch: Detection, values: Rows, first: int = 0, last: int | None = None) -> list[Finding]:
    batches = list(readings(values))[first:last]
    return [found for batch in batches for found in watch.observe(batch)]


def twice_low() -> Rows:
    """Flow falls twice, for 60 rows each."""
    values = rows(1400)
    for start in (400, 900):
        values[start : start + 60, 0] -= 6.0
    return values


def openings(found: list[Finding]) -> int:
    return sum(one.phase is IncidentPhase.OPENED for one in found)


def said(opinion: Opinion, times: int = 1) -> tuple[int, Detection]:
    """Incidents of the second fall after ``opinion`` of the first one."""
    watch = detection()
    first = feed(watch, twice_low(), 0, 800)
    assert openings(first) == 1
    for found in first:
        for _ in range(times):
            assert watch.feedback("pump-1", found.fingerprint, opinion)
    restored = detection()
    restored.restore(watch.snapshots())
    return openings(feed(restored, twice_low(), 800)), restored


def test_what_is_expected_opens_nothing_and_is_counted() -> None:
    opened, watch = said(Opinion.EXPECTED)
    assert opened == 0
    assert watch.status()["pump-1"].kept_quiet == 1
    assert all(one.opinion is Opinion.EXPECTED for one in watch.muted("pump-1").values())


def test_a_true_one_and_one_taken_back_are_heard_again() -> None:
    assert said(Opinion.TRUE)[0] == 1
    for opinion in (Opinion.TRUE, Opinion.WITHDRAWN):
        _opened, watch = said(Opinion.EXPECTED)
        for picture in watch.muted("pump-1"):
            watch.feedback("pump-1", picture, opinion)
        assert watch.muted("pump-1") == {}


def test_a_false_alarm_needs_more_each_time() -> None:
    feedback = Feedback()
    needed = []
    for _ in range(6):
        feedback.say("pump|flow:down", Opinion.FALSE_ALARM)
        needed.append(feedback.muted["pump|flow:down"].needed)
    assert needed[0] == 1.5
    assert needed == sorted(needed)
    assert needed[-1] == needed[-2]
    assert feedback.keeps_quiet("pump|flow:down", 1.4)
    assert not feedback.keeps_quiet("pump|flow:down", needed[-1])
    assert not feedback.keeps_quiet("pump|current:up|flow:down", 1.4)


def test_a_picture_covers_its_parts_only() -> None:
    assert covers("pump|a:up|b:down", "pump|b:down")
    assert not covers("pump|b:down", "pump|a:up|b:down")
    assert not covers("pump|b:down", "pump|b:up")
    assert not covers("pump|b:down", "pump")
    assert covers("pump", "pump")


def test_memory_of_opinions_is_bounded() -> None:
    feedback = Feedback()
    for number in range(300):
        feedback.say(f"pump|s{number}:up", Opinion.EXPECTED)
    assert len(feedback.muted) == 100


def test_an_open_incident_that_is_none_closes_with_the_next_row() -> None:
    values = rows(700)
    values[400:, 0] -= 6.0
    watch = detection()
    found = feed(watch, values, 0, 460)
    assert watch.feedback("pump-1", found[-1].fingerprint, Opinion.EXPECTED)
    closing = feed(watch, values, 460, 461)
    assert [one.phase for one in closing] == [IncidentPhase.CLOSED]
    assert feed(watch, values, 461) == []


def test_a_held_baseline_neither_follows_nor_settles() -> None:
    values = rows(2600)
    values[400:, 0] -= 6.0
    usual, held = detection(), detection()
    feed(usual, values, 0, 390)
    feed(held, values, 0, 390)
    assert held.freeze("pump-1", True)
    assert not held.freeze("nobody", True)
    assert held.status()["pump-1"].held
    assert feed(usual, values, 390)[-1].phase is IncidentPhase.CLOSED
    assert all(one.phase is not IncidentPhase.CLOSED for one in feed(held, values, 390))
    assert held.freeze("pump-1", False)
    assert not held.status()["pump-1"].held


def test_a_silent_machine_is_said_once_and_closes_when_it_speaks() -> None:
    values = rows(500)
    watch = detection()
    assert feed(watch, values, 0, 400) == []
    said = [found for now in range(0, 300, 5) for found in watch.tick(50.0 + now)]
    assert [one.phase for one in said] == [IncidentPhase.OPENED]
    assert said[0].origin is Origin.SENSOR
    assert {one.signal for one in said[0].evidence} == set(SIGNALS)
    restored = detection()
    restored.restore(watch.snapshots())
    assert [found for now in range(0, 300, 5) for found in restored.tick(float(now))] == []
    back = feed(restored, values, 400, 402)
    assert [(one.phase, one.incident_id) for one in back] == [
        (IncidentPhase.CLOSED, said[0].incident_id)
    ]


def test_a_machine_that_is_slow_by_habit_is_not_silent() -> None:
    watch = detection(30)
    for batch in readings(rows(60), period=600.0):
        watch.observe(batch)
    assert [found for now in range(0, 6000, 60) for found in watch.tick(float(now))] == []


def test_rows_that_come_end_the_count() -> None:
    silence = Silence()
    for at in range(10):
        silence.row(float(at))
    assert not silence.silent(10, 0.0)
    assert not silence.silent(10, 59.0)
    assert not silence.silent(11, 61.0)
    assert not silence.silent(11, 100.0)
    assert silence.silent(11, 130.0)


def test_orders_to_an_unknown_machine_are_refused() -> None:
    watch = detection()
    assert not watch.feedback("nobody", "nobody|a:up", Opinion.TRUE)
    assert watch.muted("nobody") == {}
