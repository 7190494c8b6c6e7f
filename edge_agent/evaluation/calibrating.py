"""Fitting the rules' calibration on labelled cases, and judging it on sets that it has not seen.

The temperature and the priors of ``unknown`` and ``nothing`` minimise the mean log loss of the
truth, every set counting the same and in it the faults, the windows without a fault and the faults
that no card knows each by ``WEIGHTS``.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from edge_agent.card import Calibration, Card
from edge_agent.diagnose.calibration import NOTHING, OTHER, posterior
from edge_agent.diagnose.rules import evidence_for
from edge_agent.evaluation.cases import Case
from edge_agent.finding import Finding

TEMPERATURES = tuple(round(0.5 * 1.15**step, 3) for step in range(24))
PRIORS = (0.02, 0.05, 0.08, 0.12, 0.18, 0.25, 0.35, 0.45)
WEIGHTS: Mapping[str, float] = {"fault": 1.0, NOTHING: 0.5, OTHER: 0.25}
"""Of all that comes to be diagnosed: how much the cases of each kind weigh together in a set."""
UNIFORM = 0.001
"""Share of an even spread mixed in before the logarithm: one case that a card contradicts outright
must not decide the fit."""


@dataclass(frozen=True)
class Sample:
    """A case as the fit sees it: log likelihood ratios and the truth among them."""

    scores: Mapping[str, float]
    truth: frozenset[str]

    @property
    def kind(self) -> str:
        """``fault``, ``NOTHING`` or ``OTHER``."""
        one = next(iter(self.truth))
        return one if one in (NOTHING, OTHER) else "fault"

    def loss(self, by: Calibration) -> float:
        """Negative log probability of the truth."""
        faults = [name for name in self.scores if name not in (NOTHING, OTHER)]
        chances = posterior(by, self.scores, dict.fromkeys(faults, 1.0 / max(1, len(faults))))
        right = sum(chances[name] for name in self.truth)
        return -math.log((1 - UNIFORM) * right + UNIFORM / len(chances))


def samples_of(case: Case, card: Card, without_cause: frozenset[str]) -> list[Sample]:
    """What a case teaches: each of its views; nothing where its fault is not on the card."""
    known = {fault.id for fault in card.faults}
    if not case.truth:
        truth = frozenset({NOTHING})
    elif case.truth & without_cause:
        truth = frozenset({OTHER})
    elif case.truth & known:
        truth = case.truth & known
    else:
        return []
    views: list[Finding | None] = [case.onset, case.incident]
    return [Sample(evidence_for(card, one), truth) for one in views if one is not None]


def losses_of(samples: Sequence[Sample]) -> dict[Calibration, float]:
    """Each calibration of the grid → the set's loss."""
    grid = product(TEMPERATURES, PRIORS, PRIORS)
    every = (Calibration(temperature=t, unknown=u, nothing=n) for t, u, n in grid)
    return {by: loss(samples, by) for by in every}


def loss(samples: Sequence[Sample], by: Calibration) -> float:
    """Mean loss of a set's samples, nats, its kinds weighted by ``WEIGHTS``."""
    kinds: dict[str, list[float]] = defaultdict(list)
    for one in samples:
        kinds[one.kind].append(one.loss(by))
    weight = sum(WEIGHTS[kind] for kind in kinds)
    total = sum(WEIGHTS[kind] * sum(each) / len(each) for kind, each in kinds.items())
    return total / weight if weight else 0.0


def best_of(sets: Iterable[Mapping[Calibration, float]]) -> Calibration:
    """The calibration with the least mean loss over the sets."""
    listed = list(sets)
    return min(listed[0], key=lambda by: sum(one[by] for one in listed))


def fit(sets: Mapping[str, Sequence[Sample]]) -> tuple[Calibration, dict[str, Calibration]]:
    """On all sets; and for each set what the others give."""
    losses = {name: losses_of(samples) for name, samples in sets.items()}
    held_out = {
        left_out: best_of(one for name, one in losses.items() if name != left_out)
        for left_out in losses
        if len(losses) > 1
    }
    return best_of(losses.values()), held_out


def write_fit(sets: Mapping[str, Sequence[Sample]], path: Path) -> dict[str, Calibration]:
    """Fit on all sets and without each, write both with where they come from; the latter."""
    whole, held_out = fit(sets)
    document = {
        "calibration": whole.model_dump(),
        "held_out": {name: one.model_dump() for name, one in held_out.items()},
        "fitted_by": "edge-agent eval diagnose FOLDER --card CARDS --rules-only --fit FILE",
        "samples": {
            name: dict(Counter(sample.kind for sample in one)) for name, one in sets.items()
        },
        "weights": dict(WEIGHTS),
        "mean_loss_nats": {
            "before": _mean(sets, dict.fromkeys(sets, Calibration())),
            "after": _mean(sets, dict.fromkeys(sets, whole)),
            "held_out": _mean(sets, held_out),
        },
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return held_out


def _mean(sets: Mapping[str, Sequence[Sample]], by: Mapping[str, Calibration]) -> float:
    """Mean loss over the sets that ``by`` has a calibration for."""
    found = [loss(sets[name], one) for name, one in by.items()]
    return round(sum(found) / max(1, len(found)), 4)
