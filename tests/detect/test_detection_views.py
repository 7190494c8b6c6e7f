"""Views beside the moving averages: the harmony of a plant, and the range that days show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from streams import SIGNALS, Rows, detection, readings, rows

from edge_agent.config.detect import DetectSection
from edge_agent.detect.custom import Custom
from edge_agent.detect.detection import Detection
from edge_agent.detect.limits import limits_of
from edge_agent.detect.plant import learn_plant
from edge_agent.domain.card import Card, CardSignal
from edge_agent.domain.finding import Direction, Finding, IncidentPhase

NAMES = tuple(f"s{number}" for number in range(12))
ALL: NDArray[np.bool_] = np.ones(12, np.bool_)


def plant(count: int, seed: int = 1) -> Rows:
    """(count, 12) signals that four hidden causes move, at one operating point."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(0, 1, (4, 12))
    return np.asarray(
        random.normal(0, 1, (count, 4)) @ mixing + random.normal(0, 0.3, (count, 12)) + 20.0
    )


def found_in(values: Rows, learn: int, period: float = 1.0) -> list[Finding]:
    watch = detection(learn)
    names = NAMES[: values.shape[1]]
    batches = readings(values, names, period=period)
    return [found for batch in batches for found in watch.observe(batch)]


def test_a_plant_whose_signals_part_is_noticed_though_none_leaves_its_level() -> None:
    values = plant(900)
    random = np.random.default_rng(5)
    # Each signal keeps its mean and its spread; only what they had in common is gone.
    for column in range(12):
        values[600:, column] = random.permutation(values[600:, column])
    found = found_in(values, 400)
    assert found[0].phase is IncidentPhase.OPENED
    assert 600 <= found[0].opened_at - 1_000_000 <= 660


def test_a_steady_plant_opens_nothing() -> None:
    for seed in range(3):
        assert found_in(plant(1500, seed), 400) == []


def test_only_a_steady_plant_with_enough_rows_is_judged_as_one() -> None:
    steady = plant(400)
    drifting = steady + np.linspace(0, 6, 400)[:, None]
    assert learn_plant(steady, ALL, process=False) is not None
    assert learn_plant(drifting, ALL, process=False) is None
    assert learn_plant(drifting, ALL, process=True) is not None
    assert learn_plant(steady[:50], ALL, process=True) is None
    assert learn_plant(steady, ALL & (np.arange(12) < 9), process=True) is None


def test_leaving_the_cards_range_is_evidence_whatever_the_baseline_says() -> None:
    card = Card(equipment="pump-1", signals={"pressure": CardSignal(normal=(2.0, 3.5))})
    watch = Detection(DetectSection(learn_rows=200), lambda _name: card, "test")
    values = rows(1400)
    values[200:, 1] += np.minimum(np.arange(1200) * 0.002, 1.0)  # far slower than the baseline
    found = [one for batch in readings(values) for one in watch.observe(batch)]
    opened = [one for one in found if one.phase is IncidentPhase.OPENED]
    assert opened
    last = next(one for one in found if one.evidence[0].now > 3.5)
    assert (last.evidence[0].signal, last.evidence[0].direction) == ("pressure", Direction.UP)


def test_a_range_that_is_left_for_good_is_said_once() -> None:
    limits = limits_of([(0.0, 1.0), None])
    assert limits is not None
    low, high = np.array([0.5, 9.0]), np.array([1.5, 9.0])
    assert limits.scores(low).tolist() == [0.0, 0.0]
    assert limits.scores(high).tolist() == [1.5, 0.0]
    assert limits.side(high).tolist() == [1.0, 0.0]
    limits.accept(high)
    assert limits.scores(high).tolist() == [0.0, 0.0]
    assert limits.scores(low).tolist() == [0.0, 0.0]
    assert limits.scores(high).tolist() == [1.5, 0.0]
    assert limits_of([None, None]) is None


def test_a_restart_keeps_the_plant() -> None:
    values = plant(900)
    values[600:] = values[600:][:, ::-1]
    batches = list(readings(values, NAMES))
    whole, first, second = detection(400), detection(400), detection(400)
    expected = [found for batch in batches for found in whole.observe(batch)]
    found = [one for batch in batches[:610] for one in first.observe(batch)]
    second.restore(first.snapshots())
    found += [one for batch in batches[610:] for one in second.observe(batch)]
    assert found == expected
    assert expected


def day(count: int) -> Rows:
    """A temperature that follows the day, every five minutes."""
    at = np.arange(count) * 300.0
    noise = np.random.default_rng(4).normal(0, 0.3, count)
    return np.asarray((60.0 + 5.0 * np.sin(2 * np.pi * at / 86_400.0) + noise)[:, None])


def test_a_signal_that_follows_the_day_is_held_to_its_range() -> None:
    values = day(3600)
    values[3000:3300] -= np.minimum(np.arange(300), 60)[:, None] / 2.0
    found = found_in(values, 400, period=300.0)
    assert found
    assert found[0].phase is IncidentPhase.OPENED
    assert 3000 <= (found[0].opened_at - 1_000_000) / 300 <= 3100
    assert found[0].evidence[0].direction is Direction.DOWN
    assert found_in(day(3600), 400, period=300.0) == []


def test_the_range_says_nothing_before_days_were_seen() -> None:
    custom = Custom.begin(rows(200)[:, : len(SIGNALS)])
    for number, row in enumerate(rows(3000)):
        custom.follow(row, 1.0)
        assert not custom.known, number
    custom.follow(rows(1)[0], 1e9)
    assert not custom.known
