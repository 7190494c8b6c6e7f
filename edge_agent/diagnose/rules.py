"""The rules' answer: the card's symptom table against the evidence, as a likelihood. Pure.

Each signal's evidence is its distance z from its baseline, in standard deviations of normal
operation. A signal that a fault leaves alone scatters with heavy tails, one that it moves may go
far:

    calm(z)  = Student t with 3 degrees of freedom and scale ``CALM_SCALE``
    moved(z) = 1 / (s (1 + |z|/s)²) on the side that the fault moves it to, s = ``MOVED_SCALE``

A symptom that is expected with trust t has the density t·moved + (1−t−w)·calm + w·(the other way),
so that an absent symptom counts against its fault; a signal that the fault does not mention is
calm or moved by a share q of such signals that is not known beforehand: the likelihood is summed
over ``SPREAD``, few first. Two more hypotheses compete: ``nothing`` (all calm) and ``unknown`` (all
signals are such unmentioned ones, by ``UNKNOWN_SPREAD``); together they are ``other``, and when
they win the answer is undetermined.

Signals are not independent: the log likelihood is tempered by √(``FREE_SIGNALS``/n), n signals, as
if there were so many independent ones (a tempered posterior). See docs/decisions/0012.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from edge_agent.card import Card, CardFault
from edge_agent.diagnose.symptoms import FORMAL_TRUST, Expectation, table_of
from edge_agent.finding import Direction, Finding, Origin, Shape, SignalEvidence

OTHER = "none_of_these"
UNKNOWN_PRIOR = 0.10
NOTHING_PRIOR = 0.10
SPREAD: Mapping[float, float] = {0.03: 0.40, 0.15: 0.30, 0.35: 0.20, 0.65: 0.10}
UNKNOWN_SPREAD: Mapping[float, float] = {0.03: 0.10, 0.15: 0.20, 0.35: 0.35, 0.65: 0.35}
"""Share of the signals that move without being mentioned → how likely that share is."""
PRIOR_COUNT = 3.0
"""As if each fault had been seen so often already: three words of an operator double one."""
MOST_COUNTED = 6
"""Words counted of one fault at most: the prior makes no fault more than three times as likely as
another, so that the evidence decides."""
FREE_SIGNALS = 5.0
CALM_SCALE = 1.2
MOVED_SCALE = 6.0
STRONG_SCALE = 25.0
"""The same for a symptom that the card calls clear."""
DRIFT = 4.0
"""The sigma of a signal that drifts by itself is divided by this."""
CONTRARY = 0.04
"""Chance that a symptom comes the other way round."""
NOTABLE = 3.0
"""Detection calls a signal normal or deviating on more than its sigma: its word bounds z here."""
FAR = 60.0
"""Beyond this many sigma nothing is added: it is as sure as it can be."""
DEVELOPMENT_TRUST = 0.65
HOUR_S = 3600.0
INSTRUMENTAL = frozenset({Direction.FROZEN, Direction.MISSING})

SEEN: Mapping[str, Mapping[Direction, float]] = {
    "calm": {Direction.NOISY: 0.04, Direction.FROZEN: 0.005, Direction.MISSING: 0.005},
    "moved": {Direction.NOISY: 0.15, Direction.FROZEN: 0.02, Direction.MISSING: 0.02},
    "noisy": {Direction.NOISY: 0.75, Direction.FROZEN: 0.005, Direction.MISSING: 0.02},
    "frozen": {Direction.NOISY: 0.01, Direction.FROZEN: 0.75, Direction.MISSING: 0.15},
    "missing": {Direction.NOISY: 0.01, Direction.FROZEN: 0.15, Direction.MISSING: 0.75},
}
"""Chance that a signal in that condition is seen as noisy, frozen or missing; what is left is the
density over z."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Faults of the card with their probabilities, best first; ``other`` is the rest."""

    faults: tuple[tuple[str, float], ...]
    other: float

    def probability(self, fault_id: str) -> float:
        """Of one fault; 0 if the card does not have it."""
        return dict(self.faults).get(fault_id, 0.0)


def rank(
    card: Card, finding: Finding, confirmed: Mapping[str, int] = MappingProxyType({})
) -> Ranking:
    """Rank the faults of ``card`` by the evidence of ``finding``. ``confirmed``: fault → how often
    an operator named it for this machine; the prior is the mean of a Dirichlet distribution with
    ``PRIOR_COUNT`` for each fault and these counts."""
    table = table_of(card)
    evidence = [_calmed(card, one) for one in finding.evidence]
    temper = min(1.0, math.sqrt(FREE_SIGNALS / max(1, len(evidence))))
    scores = _others(evidence, temper)
    counts = {
        fault.id: PRIOR_COUNT + min(MOST_COUNTED, confirmed.get(fault.id, 0))
        for fault in card.faults
    }
    share = (1.0 - UNKNOWN_PRIOR - NOTHING_PRIOR) / max(1.0, sum(counts.values()))
    for fault in card.faults:
        prior = math.log(share * counts[fault.id])
        expected = table[fault.id]
        fits = sum(_log_chance(expected[e.signal], e) for e in evidence if e.signal in expected)
        fits += _unmentioned([e for e in evidence if e.signal not in expected], SPREAD)
        scores[fault.id] = prior + temper * fits + _circumstances(fault, table[fault.id], finding)
    top = max(scores.values())
    weights = {name: math.exp(score - top) for name, score in scores.items()}
    total = sum(weights.values())
    ranked = sorted(
        ((fault.id, weights[fault.id] / total) for fault in card.faults),
        key=lambda pair: (-pair[1], pair[0]),
    )
    return Ranking(tuple(ranked), max(0.0, 1.0 - sum(p for _, p in ranked)))


def _calmed(card: Card, one: SignalEvidence) -> SignalEvidence:
    """Evidence of a signal that drifts by itself, with its sigma taken for what it is worth."""
    known = card.signals.get(one.signal)
    if known is None or not known.drifts or one.direction not in (Direction.UP, Direction.DOWN):
        return one
    sigma = one.sigma / DRIFT
    calm = abs(sigma) < NOTABLE
    return one.model_copy(
        update={"sigma": sigma, "direction": Direction.NORMAL if calm else one.direction}
    )


def _others(evidence: Sequence[SignalEvidence], temper: float) -> dict[str, float]:
    """Log scores of what is no fault of the card."""
    nothing = sum(math.log(_density("calm", one)) for one in evidence)
    return {
        "": math.log(NOTHING_PRIOR) + temper * nothing,
        OTHER: math.log(UNKNOWN_PRIOR) + temper * _unmentioned(evidence, UNKNOWN_SPREAD),
    }


def _unmentioned(evidence: Sequence[SignalEvidence], spread: Mapping[float, float]) -> float:
    """Log likelihood of signals that a hypothesis says nothing about, summed over the share of
    them that moves."""
    pairs = [(_density("calm", one), _either(one)) for one in evidence]
    logs = [
        math.log(weight) + sum(math.log((1 - q) * calm + q * moved) for calm, moved in pairs)
        for q, weight in spread.items()
    ]
    top = max(logs)
    return top + math.log(sum(math.exp(one - top) for one in logs))


def _either(one: SignalEvidence) -> float:
    """Density of a signal that moved in any way."""
    return 0.4 * _up(one) + 0.4 * _down(one) + 0.2 * _density("noisy", one)


def _log_chance(expected: Expectation, one: SignalEvidence) -> float:
    """Log density of a signal's evidence under a fault that expects this of it; of what a model
    read, the mixture over all that the text may say."""
    if not expected.read:
        return math.log(_chance(expected, one))
    calm, either = _density("calm", one), _either(one)
    return math.log(
        sum(
            p
            * (
                0.9 * calm + 0.1 * either
                if way is None
                else _chance(Expectation(way, FORMAL_TRUST), one)
            )
            for way, p in expected.read
        )
    )


def _chance(expected: Expectation, one: SignalEvidence) -> float:
    trust, calm = expected.trust, _density("calm", one)
    match expected.direction:
        case Direction.UP | Direction.DOWN:
            scale = STRONG_SCALE if expected.strong else MOVED_SCALE
            ways = (_moved(one, 1.0, scale), _moved(one, -1.0, scale))
            right, wrong = ways if expected.direction is Direction.UP else ways[::-1]
            chance = trust * right + CONTRARY * wrong + max(0.01, 1 - trust - CONTRARY) * calm
        case Direction.NOISY:
            moved = 0.5 * (_up(one) + _down(one))
            chance = trust * (0.7 * _density("noisy", one) + 0.3 * moved) + (1 - trust) * calm
        case Direction.FROZEN | Direction.MISSING:
            chance = trust * _density(expected.direction.value, one) + (1 - trust) * calm
        case Direction.NORMAL:
            chance = trust * calm + (1 - trust) * _either(one)
    return chance


def distance(one: SignalEvidence) -> float:
    """z: the evidence's sigma, held to what detection said of its direction."""
    size = min(FAR, abs(one.sigma))
    match one.direction:
        case Direction.UP:
            return max(size, NOTABLE)
        case Direction.DOWN:
            return -max(size, NOTABLE)
        case _:
            return math.copysign(min(size, NOTABLE), one.sigma)


def _density(condition: str, one: SignalEvidence) -> float:
    """Of one signal's evidence where the signal is calm, noisy, frozen or missing."""
    seen = SEEN[condition]
    if one.direction in seen:
        return seen[one.direction]
    t = distance(one) / CALM_SCALE
    scatter = 2.0 / (math.pi * math.sqrt(3.0) * (1.0 + t * t / 3.0) ** 2) / CALM_SCALE
    return (1.0 - sum(seen.values())) * scatter


def _up(one: SignalEvidence) -> float:
    return _moved(one, 1.0)


def _down(one: SignalEvidence) -> float:
    return _moved(one, -1.0)


def _moved(one: SignalEvidence, side: float, scale: float = MOVED_SCALE) -> float:
    seen = SEEN["moved"]
    if one.direction in seen:
        return seen[one.direction]
    z = distance(one) * side
    if z < 0:
        return 1e-6
    return (1.0 - sum(seen.values())) / (scale * (1.0 + z / scale) ** 2)


def _circumstances(
    fault: CardFault, expected: Mapping[str, Expectation], finding: Finding
) -> float:
    """Log score of how it came about, and of machine against instrument."""
    instrumental = any(one.direction in INSTRUMENTAL for one in expected.values())
    if finding.origin is Origin.SENSOR:
        score = 0.0 if instrumental else -2.0
    else:
        score = -1.0 if instrumental else 0.0
    moved = [one for one in finding.evidence if one.signal in expected]
    shape = next((one.shape for one in moved if one.shape in (Shape.STEP, Shape.RAMP)), None)
    sure = any(abs(one.sigma) > 10 for one in moved if one.since is not None)
    if fault.development == "days" and sure and finding.at - finding.opened_at < HOUR_S:
        return score + math.log(0.05)
    said = fault.development or _read_development(fault)
    if said and shape is not None:
        as_said = (shape is Shape.STEP) == (said == "sudden")
        score += math.log(DEVELOPMENT_TRUST if as_said else 1 - DEVELOPMENT_TRUST)
    elif shape is not None:
        score += math.log(0.5)
    return score


def _read_development(fault: CardFault) -> str:
    """``sudden`` or ``slow`` where the text says so more likely than not."""
    return next((way for way in ("sudden", "slow") if fault.read_speed.get(way, 0.0) > 0.5), "")
