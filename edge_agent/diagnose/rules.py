"""The rules' answer: the card's symptom table against the evidence, as a likelihood. Pure.

Naive Bayes over signals. For each fault f and signal s the table expects a direction with trust t
(1 where nothing is mentioned means "stays normal" with ``SILENT_TRUST``). The evidence shows a
direction d with a strength w between 0 and 1 that saturates with sigma. Then

    log L(f) = Σ_s w_s · log P(d_s | f),   P(d | e) = t where d = e, else the rest by ``CONFUSION``

so that absence counts: a fault that should move a signal which stays normal loses. ``OTHER``, none
of the card's faults, explains every picture equally badly; when it wins, the answer is
undetermined.
Signals are not independent; ``TEMPER`` < 1 takes account of that (as in tempered posteriors).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_agent.card import Card
from edge_agent.diagnose.symptoms import Expectation, Table, table_of
from edge_agent.finding import Direction, Finding, Origin, SignalEvidence

OTHER = "none_of_these"
OTHER_PRIOR = 0.15
SILENT_TRUST = 0.75
TEMPER = 0.7
SATURATION_SIGMA = 4.0
"""A deviation of this many sigma has a strength of 1 − 1/e."""
NORMAL_WEIGHT = 0.55
"""Strength of a signal that stays normal: it may not have had the time to move."""
INSTRUMENTAL = frozenset({Direction.FROZEN, Direction.MISSING})

CONFUSION: Mapping[Direction, Mapping[Direction, float]] = {
    Direction.UP: {Direction.NORMAL: 0.60, Direction.NOISY: 0.25, Direction.DOWN: 0.10},
    Direction.DOWN: {Direction.NORMAL: 0.60, Direction.NOISY: 0.25, Direction.UP: 0.10},
    Direction.NOISY: {Direction.NORMAL: 0.40, Direction.UP: 0.30, Direction.DOWN: 0.25},
    Direction.FROZEN: {Direction.NORMAL: 0.60, Direction.MISSING: 0.30, Direction.NOISY: 0.02},
    Direction.NORMAL: {Direction.UP: 0.38, Direction.DOWN: 0.38, Direction.NOISY: 0.20},
    Direction.MISSING: {Direction.NORMAL: 0.6, Direction.FROZEN: 0.3},
}
"""How the part 1 − t that misses the expectation falls on what is seen instead."""

OTHER_SEES: Mapping[Direction, float] = {
    Direction.NORMAL: 0.50,
    Direction.UP: 0.19,
    Direction.DOWN: 0.19,
    Direction.NOISY: 0.08,
    Direction.FROZEN: 0.02,
    Direction.MISSING: 0.02,
}


@dataclass(frozen=True, slots=True)
class Ranking:
    """Faults of the card with their probabilities, best first; ``other`` is the rest."""

    faults: tuple[tuple[str, float], ...]
    other: float

    def probability(self, fault_id: str) -> float:
        """Of one fault; 0 if the card does not have it."""
        return dict(self.faults).get(fault_id, 0.0)


def rank(card: Card, finding: Finding) -> Ranking:
    """Rank the faults of ``card`` by the evidence of ``finding``."""
    table = table_of(card)
    scores = {OTHER: _other(finding.evidence)}
    prior = math.log((1 - OTHER_PRIOR) / max(1, len(card.faults)))
    for fault in card.faults:
        scores[fault.id] = prior + TEMPER * _log_likelihood(table, fault.id, finding)
    top = max(scores.values())
    weights = {name: math.exp(score - top) for name, score in scores.items()}
    total = sum(weights.values())
    ranked = sorted(
        ((name, weight / total) for name, weight in weights.items() if name != OTHER),
        key=lambda pair: (-pair[1], pair[0]),
    )
    return Ranking(tuple(ranked), weights[OTHER] / total)


def _log_likelihood(table: Table, fault: str, finding: Finding) -> float:
    expected = table[fault]
    total = 0.0
    for one in finding.evidence:
        silent = Expectation(Direction.NORMAL, SILENT_TRUST)
        total += _strength(one) * math.log(_chance(expected.get(one.signal, silent), one.direction))
    return total + _origin(expected, finding.origin)


def _origin(expected: Mapping[str, Expectation], origin: Origin) -> float:
    """A broken instrument speaks for faults whose symptom is one, and against the others."""
    instrumental = any(one.direction in INSTRUMENTAL for one in expected.values())
    if origin is Origin.SENSOR:
        return 0.0 if instrumental else -2.0
    return -1.0 if instrumental else 0.0


def _chance(expectation: Expectation, seen: Direction) -> float:
    if seen is expectation.direction:
        return expectation.trust
    rest = CONFUSION[expectation.direction].get(seen, 0.02)
    return max(0.01, (1 - expectation.trust) * rest)


def _other(evidence: Sequence[SignalEvidence]) -> float:
    total = sum(_strength(one) * math.log(OTHER_SEES[one.direction]) for one in evidence)
    return math.log(OTHER_PRIOR) + TEMPER * total


def _strength(one: SignalEvidence) -> float:
    if one.direction is Direction.NORMAL:
        return NORMAL_WEIGHT
    if one.direction in INSTRUMENTAL or one.direction is Direction.NOISY:
        return 1.0
    return 1.0 - math.exp(-abs(one.sigma) / SATURATION_SIGMA)
