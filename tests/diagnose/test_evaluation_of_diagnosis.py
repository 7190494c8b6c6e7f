"""What eval diagnose counts, and what it calls a symptom."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.diagnose.rules import Ranking, rank
from edge_agent.domain.card import Card, CardFault, CardSignal
from edge_agent.domain.finding import Direction, Finding
from edge_agent.evaluation.cases import Case
from edge_agent.evaluation.diagnosis import Facts, Score
from edge_agent.evaluation.onset import onset_finding
from edge_agent.evaluation.reliability import (
    calibration_error,
    error_by_chance,
    pooled,
    reliability,
)

COLUMNS = ("flow", "pressure", "heat")
CARD = Card(
    equipment="rig",
    signals={name: CardSignal() for name in COLUMNS},
    faults=(
        CardFault(id="shut", title="Shut", description="x", symptoms={"flow": "clearly falls"}),
        CardFault(id="hot", title="Hot", description="x", symptoms={"heat": "may rises"}),
        CardFault(id="slug", title="Slug", description="x", symptoms={"pressure": "noisy"}),
    ),
)


def after(change: np.ndarray, between: np.ndarray | None = None) -> Finding:
    noise = np.random.default_rng(3)
    normal = noise.normal(10.0, 1.0, (400, 3))
    fault = noise.normal(10.0, 1.0, (300, 3)) + change
    return onset_finding("rig", COLUMNS, normal, fault, (0.0, 300.0), CARD, between)


def test_a_shift_is_a_symptom_and_names_the_fault() -> None:
    finding = after(np.array([-6.0, 0.0, 0.0]))
    seen = {one.signal: one.direction for one in finding.evidence}
    assert seen["flow"] is Direction.DOWN
    assert seen["heat"] is Direction.NORMAL
    assert rank(CARD, finding).faults[0][0] == "shut"


def test_a_swing_is_no_shift() -> None:
    wave = 8.0 * np.sin(np.arange(300) / 12.0)
    finding = after(np.stack([np.zeros(300), wave, np.zeros(300)], axis=1))
    assert {one.signal: one.direction for one in finding.evidence}["pressure"] is Direction.NOISY
    assert rank(CARD, finding).faults[0][0] == "slug"


def test_a_level_from_another_machine_says_nothing() -> None:
    finding = after(np.array([-6.0, 0.0, 0.0]), np.full(3, np.inf))
    assert all(one.direction is Direction.NORMAL for one in finding.evidence)


def test_nothing_moved_is_undetermined() -> None:
    ranking = rank(CARD, after(np.zeros(3)))
    assert ranking.other > ranking.faults[0][1]


def test_faults_that_cannot_be_told_apart_count_as_one() -> None:
    facts = Facts.read('{"indistinguishable": [["a", "b"]], "no_diagnosis": ["u"]}')
    case = Case("run", frozenset({"a"}), None, None)
    ranking = Ranking((("b", 0.6), ("a", 0.3), ("c", 0.05)), 0.05)
    strict, alike = Score(), Score()
    strict.add(case, ranking, 0.35, {})
    alike.add(case, ranking, 0.35, facts.alike)
    assert strict.report()["top1"] == 0.0
    assert strict.report()["top3"] == 1.0
    assert alike.report()["top1"] == 1.0
    assert facts.without_cause == {"u"}


def test_a_missed_event_counts_against_accuracy_but_publishes_no_probability() -> None:
    score = Score()
    score.miss(Case("run", frozenset({"a"}), None, None))
    report = score.report()
    assert (report["top1"], report["undetermined"], report["answered"]) == (0.0, 1.0, 0)


def test_the_calibration_error_is_the_gap_between_said_and_true() -> None:
    assert calibration_error([(0.8, True)] * 4 + [(0.8, False)]) == pytest.approx(0.0)
    assert calibration_error([(0.9, False)] * 3) == pytest.approx(0.9)


def test_the_error_over_all_sets_is_that_of_all_their_answers() -> None:
    one = [(0.85, True)] * 3 + [(0.15, False)]
    other = [(0.8, False)] * 3 + [(0.45, True)]
    reports = [
        {"rules": {"onset": {"reliability": reliability(pairs)}, "incident": {}}}
        for pairs in (one, other)
    ]
    found = pooled(reports, ("rules",), ("onset", "incident"))["rules"]["onset"]
    assert found["answered"] == 8
    assert found["ece"] == pytest.approx(calibration_error(one + other), abs=1e-3)


def test_right_probabilities_show_an_error_by_chance_that_falls_with_their_number() -> None:
    few, many = ([(0.3, 0.5, n), (0.7, 0.5, n)] for n in (4, 400))
    assert 0.1 < error_by_chance(few) < 0.3
    assert error_by_chance(many) < 0.03
