"""The rules' answer: the card's symptom table against the evidence, as a likelihood. Pure.

``likelihood`` says how much likelier each signal's evidence is under a fault than in normal
operation, ``circumstances`` what the order in time, the speed and the kind of evidence add. Signals
that a fault does not mention are calm or moved by a share q of such signals that is not known
beforehand: the likelihood is summed over ``SPREAD``, few first. Two more hypotheses compete:
``nothing`` (all calm) and ``unknown`` (all signals are such unmentioned ones, by
``UNKNOWN_SPREAD``); together they are ``other``, and when they win the answer is undetermined.

Signals are not independent: the log likelihood is tempered by √(``FREE_SIGNALS``/n), n signals, as
if there were so many independent ones (a tempered posterior); ``calibration`` then makes the
probabilities as sure as they proved to be. See docs/decisions/0012, 0026 and 0027.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edge_agent.diagnose.calibration import NOTHING, OTHER, posterior, shipped_calibration
from edge_agent.diagnose.circumstances import circumstances
from edge_agent.diagnose.likelihood import SPREAD, UNKNOWN_SPREAD, Seen, ratio, see, unmentioned
from edge_agent.diagnose.symptoms import Expectation, table_of
from edge_agent.diagnose.twins import one_of_each, only_strays
from edge_agent.domain.card import Calibration, Card
from edge_agent.domain.finding import Direction, Finding, SignalEvidence

PRIOR_COUNT = 3.0
"""As if each fault had been seen so often already: three words of an operator double one."""
MOST_COUNTED = 6
"""Words counted of one fault at most: the prior makes no fault more than three times as likely as
another, so that the evidence decides."""
FREE_SIGNALS = 5.0
DRIFT = 4.0
"""The distance of a signal that drifts by itself is divided by this."""
LISTED = 24
"""Detection lists so many signals at most; what a full list leaves out is calm."""
SENT = 0.9
"""Chance that a signal of the card which a full list leaves out is measured at all."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Faults of the card with their probabilities, best first; ``other`` is the rest."""

    faults: tuple[tuple[str, float], ...]
    other: float

    def probability(self, fault_id: str) -> float:
        """Of one fault; 0 if the card does not have it."""
        return dict(self.faults).get(fault_id, 0.0)


def rank(
    card: Card,
    finding: Finding,
    confirmed: Mapping[str, int] = MappingProxyType({}),
    calibration: Calibration | None = None,
) -> Ranking:
    """Rank the faults of ``card`` by the evidence of ``finding``. ``confirmed``: fault → how often
    an operator named it for this machine; the prior is the mean of a Dirichlet distribution with
    ``PRIOR_COUNT`` for each fault and these counts."""
    by = calibration or card.calibration or shipped_calibration()
    counts = {
        fault.id: PRIOR_COUNT + min(MOST_COUNTED, confirmed.get(fault.id, 0))
        for fault in card.faults
    }
    total = max(1.0, sum(counts.values()))
    shares = {name: one / total for name, one in counts.items()}
    chances = posterior(by, evidence_for(card, finding), shares)
    ranked = sorted(
        ((fault.id, chances[fault.id]) for fault in card.faults),
        key=lambda pair: (-pair[1], pair[0]),
    )
    return Ranking(tuple(ranked), max(0.0, 1.0 - sum(p for _, p in ranked)))


def evidence_for(card: Card, finding: Finding) -> dict[str, float]:
    """Log likelihood ratio against normal operation of each fault, of ``NOTHING`` (0) and of
    ``OTHER``, before any prior or calibration."""
    table = table_of(card)
    evidence = one_of_each(card, finding.evidence)
    seen = {one.signal: see(one, _drift(card, one)) for one in evidence}
    temper = min(1.0, math.sqrt(FREE_SIGNALS / max(1, len(seen))))
    calm = _left_out(finding)
    stray = only_strays(card, finding.evidence)
    scores = {
        fault.id: temper * _fits(table[fault.id], seen, calm)
        + circumstances(fault, table[fault.id], finding, card.sample_period_s, stray)
        for fault in card.faults
    }
    return scores | {NOTHING: 0.0, OTHER: temper * unmentioned(seen.values(), UNKNOWN_SPREAD)}


def _fits(
    expected: Mapping[str, Expectation], seen: Mapping[str, Seen], calm: Seen | None
) -> float:
    """Log ratio of all signals under a fault that expects this."""
    told = [(expected[name], one) for name, one in seen.items() if name in expected]
    fits = sum(math.log(ratio(way, one)) for way, one in told)
    if calm is not None:
        absent = [one for name, one in expected.items() if name not in seen]
        fits += sum(math.log(1 - SENT + SENT * ratio(one, calm)) for one in absent)
    return fits + unmentioned([one for name, one in seen.items() if name not in expected], SPREAD)


def _drift(card: Card, one: SignalEvidence) -> float:
    known = card.signals.get(one.signal)
    return DRIFT if known is not None and known.drifts else 1.0


def _left_out(finding: Finding) -> Seen | None:
    """What a full list says of the signals that it leaves out: less than of its last one. None
    where the list is not full: what is missing then is not measured, neither for nor against."""
    last = finding.evidence[-1] if finding.evidence else None
    full = len(finding.evidence) == LISTED and last is not None
    if not full or last is None or last.direction is not Direction.NORMAL:
        return None
    return see(last.model_copy(update={"sigma": 0.0}))
