"""Fitting the rules' calibration on labelled cases, and judging it on sets that it has not seen.

The temperature and the priors of ``unknown`` and ``nothing`` minimise the mean log loss of the
truth, every set counting the same and in it the faults, the windows without a fault and the faults
that no card knows each by ``WEIGHTS``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from edge_agent.diagnose.calibration import NOTHING, OTHER
from edge_agent.diagnose.rules import evidence_for
from edge_agent.domain.card import Calibration, Card
from edge_agent.domain.finding import Finding
from edge_agent.evaluation.cases import Case

TEMPERATURES = tuple(round(0.5 * 1.15**step, 3) for step in range(24))
PRIORS = (0.02, 0.05, 0.08, 0.12, 0.18, 0.25, 0.35, 0.45)
WEIGHTS: Mapping[str, float] = {"fault": 1.0, NOTHING: 0.25, OTHER: 0.1}
"""How much the cases of each kind weigh together in a set: of what comes to be diagnosed, one in
five is taken to be no fault, and few are faults that nobody wrote down."""
FOLDS = 5
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


class Losses:
    """The loss of one set's samples, which share a card, under any calibration."""

    def __init__(self, samples: Sequence[Sample], *, by_kind: bool = True) -> None:
        """``by_kind``: kinds count by ``WEIGHTS``; else every sample counts the same."""
        names = list(samples[0].scores)
        self._names = names
        self._scores = np.array([[one.scores[name] for name in names] for one in samples])
        self._right = np.array([[name in one.truth for name in names] for one in samples])
        counts = Counter(one.kind for one in samples)
        total = sum(WEIGHTS[kind] for kind in counts)
        each = [WEIGHTS[one.kind] / counts[one.kind] / total for one in samples]
        self._weights = np.array(each if by_kind else [1.0 / len(samples)] * len(samples))

    def of(self, by: Calibration) -> float:
        """Mean negative log probability of the truth, nats, the kinds weighted by ``WEIGHTS``; the
        probabilities are those of ``calibration.posterior``."""
        faults = (1.0 - by.unknown - by.nothing) / max(1, len(self._names) - 2)
        priors = [
            {NOTHING: by.nothing, OTHER: by.unknown}.get(name, faults) for name in self._names
        ]
        logs = self._scores / by.temperature + np.log(priors)
        chances = np.exp(logs - logs.max(axis=1, keepdims=True))
        right = (chances * self._right).sum(axis=1) / chances.sum(axis=1)
        mixed = (1 - UNIFORM) * right + UNIFORM / len(self._names)
        return float(-(self._weights * np.log(mixed)).sum())


def best_of(sets: Iterable[Mapping[Calibration, float]]) -> Calibration:
    """The calibration with the least mean loss over the sets."""
    listed = list(sets)
    return min(listed[0], key=lambda by: sum(one[by] for one in listed))


def fit(sets: Mapping[str, Losses]) -> tuple[Calibration, dict[str, Calibration]]:
    """On all sets; and for each set what the others give."""
    grid = [
        Calibration(temperature=temperature, unknown=unknown, nothing=nothing)
        for temperature, unknown, nothing in product(TEMPERATURES, PRIORS, PRIORS)
    ]
    losses = {name: {by: one.of(by) for by in grid} for name, one in sets.items()}
    held_out = {
        left_out: best_of(one for name, one in losses.items() if name != left_out)
        for left_out in losses
        if len(losses) > 1
    }
    return best_of(losses.values()), held_out


def cross_validated(
    samples: Sequence[Sample], now: Calibration
) -> tuple[Calibration, float, float]:
    """The calibration that fits these samples of one card best, its mean loss in five folds that
    it was not fitted on, and that of ``now``; nats. Every sample counts the same: how often each
    kind comes is what they tell."""
    folds = {
        str(at): Losses(samples[at::FOLDS], by_kind=False) for at in range(min(FOLDS, len(samples)))
    }
    fitted, held_out = fit(folds)
    return fitted, _mean(folds, held_out), _mean(folds, dict.fromkeys(folds, now))


def write_fit(sets: Mapping[str, Sequence[Sample]], path: Path) -> dict[str, Calibration]:
    """Fit on all sets and without each, and write both with where they come from; the latter. The
    fit is in use where it beats none on the sets left out."""
    losses = {name: Losses(samples) for name, samples in sets.items() if samples}
    whole, held_out = fit(losses)
    means = {
        "before": _mean(losses, dict.fromkeys(losses, Calibration())),
        "after": _mean(losses, dict.fromkeys(losses, whole)),
        "held_out": _mean(losses, held_out),
    }
    document = {
        "in_use": bool(held_out) and means["held_out"] < means["before"],
        "calibration": whole.model_dump(),
        "held_out": {name: one.model_dump() for name, one in held_out.items()},
        "fitted_by": "edge-agent eval diagnose FOLDER --card CARDS --rules-only --fit FILE",
        "samples": {
            name: dict(Counter(sample.kind for sample in one)) for name, one in sets.items()
        },
        "weights": dict(WEIGHTS),
        "mean_loss_nats": means,
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return held_out


def _mean(sets: Mapping[str, Losses], by: Mapping[str, Calibration]) -> float:
    """Mean loss over the sets that ``by`` has a calibration for."""
    found = [sets[name].of(one) for name, one in by.items()]
    return round(sum(found) / max(1, len(found)), 4)
