"""How right diagnosis is on labelled events, and how sure it should have been."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_agent.config.diagnose import DiagnoseSection
from edge_agent.diagnose.answer import combine, read_explanation
from edge_agent.diagnose.claims import sentences, verified
from edge_agent.diagnose.prompt import FAULT_CHOICE, best_fault, prepare
from edge_agent.diagnose.rules import Ranking, rank
from edge_agent.domain.card import Calibration, Card
from edge_agent.domain.completion import Completion, CompletionRequest
from edge_agent.domain.finding import Finding
from edge_agent.domain.job import Job
from edge_agent.domain.level import Allowance, Level
from edge_agent.errors import BadAnswer, Unavailable
from edge_agent.evaluation.cases import Case
from edge_agent.evaluation.reliability import calibration_error, error_by_chance, reliability

WAYS = ("rules", "model", "combined")
VIEWS = ("onset", "incident")
ALIKE, REFITTED = "indistinguishable_as_one", "rules_refitted"
POOLED = (*WAYS, REFITTED)

Complete = Callable[[CompletionRequest], Completion]


@dataclass
class Score:
    """One way of diagnosing, over the events of a set."""

    answers: list[tuple[str, int, float, bool]] = field(default_factory=list)
    """(truth, rank of the truth from 0 or a large number, published probability, diagnosed)."""
    confusion: dict[str, dict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )

    def add(self, case: Case, ranking: Ranking, below: float, groups: Groups) -> None:
        """Count one answer. An undetermined one keeps its ranking but names no fault."""
        same = frozenset().union(*(groups.get(one, frozenset({one})) for one in case.truth))
        places = [at for at, (fault, _) in enumerate(ranking.faults) if fault in same]
        best, p = ranking.faults[0] if ranking.faults else ("", 0.0)
        diagnosed = bool(best) and p >= below and p > ranking.other
        truth = "+".join(sorted(case.truth))
        self.answers.append((truth, min(places, default=999), p, diagnosed))
        self.confusion[truth][best if diagnosed else "undetermined"] += 1

    def miss(self, case: Case) -> None:
        """No incident was opened: the user got nothing."""
        truth = "+".join(sorted(case.truth))
        self.answers.append((truth, 999, 0.0, False))
        self.confusion[truth]["no incident"] += 1

    def report(self) -> dict[str, Any]:
        """Shares from 0 to 1; ``top1`` counts the ranking's first fault, ``published_top1`` only
        where it was published as diagnosed. Brier and calibration are of its probability."""
        total = len(self.answers)
        if not total:
            return {}
        by_truth: dict[str, list[bool]] = defaultdict(list)
        for truth, place, _, _ in self.answers:
            by_truth[truth].append(place == 0)
        # A missed event publishes no probability: it would flatter both figures.
        pairs = [(p, place == 0) for _, place, p, _ in self.answers if p > 0]
        named = [place == 0 for _, place, _, diagnosed in self.answers if diagnosed]
        return {
            "top1": _share(place == 0 for _, place, _, _ in self.answers),
            "top3": _share(place < 3 for _, place, _, _ in self.answers),
            "macro_top1": round(sum(sum(x) / len(x) for x in by_truth.values()) / len(by_truth), 4),
            "undetermined": _share(not diagnosed for *_, diagnosed in self.answers),
            "published_top1": round(sum(named) / total, 4),
            "right_when_diagnosed": _share(named) if named else None,
            "brier": round(sum((p - right) ** 2 for p, right in pairs) / max(1, len(pairs)), 4),
            "ece": calibration_error(pairs),
            "ece_by_chance": error_by_chance(reliability(pairs)),
            "reliability": reliability(pairs),
            "answered": len(pairs),
            "confusion": {truth: dict(row) for truth, row in sorted(self.confusion.items())},
        }


Groups = Mapping[str, frozenset[str]]
"""Fault → the faults that no diagnoser can tell from it with these sensors, itself included."""


def _share(values: Iterable[bool]) -> float:
    listed = list(values)
    return round(sum(listed) / len(listed), 4) if listed else 0.0


@dataclass
class Tally:
    """What came of the cases of one set."""

    below: float
    ways: tuple[str, ...]
    scores: dict[tuple[str, str], Score] = field(default_factory=lambda: defaultdict(Score))
    events: int = 0
    quiet: list[bool] = field(default_factory=list)
    """Of each window without a fault: whether the answer was undetermined."""
    unnamed: list[bool] = field(default_factory=list)
    """The same of events whose cause nobody stated."""
    skipped: int = 0

    def undetermined(self, ranking: Ranking) -> bool:
        """Whether that ranking is published as undetermined."""
        best = ranking.faults[0][1] if ranking.faults else 0.0
        return best < self.below or best <= ranking.other

    def add(self, way: str, view: str, case: Case, ranking: Ranking | None, groups: Groups) -> None:
        """Count an answer; None: there was no incident."""
        if ranking is None:
            self.scores[way, view].miss(case)
        else:
            self.scores[way, view].add(case, ranking, self.below, groups)


def evaluate(
    name: str,
    cases: Iterable[Case],
    card: Card,
    facts: Facts,
    settings: DiagnoseSection,
    complete: Complete | None,
    refitted: Calibration | None = None,
) -> dict[str, Any]:
    """One entry of ``sets``. ``complete`` None: the rules alone. ``refitted``: a calibration fitted
    without this set, whose answers stand beside the program's as ``rules_refitted``."""
    tally = Tally(settings.undetermined_below, WAYS if complete else WAYS[:1])
    known = {fault.id for fault in card.faults}
    model = ModelRun(complete, settings)
    for case in cases:
        if case.truth and not case.truth & facts.without_cause:
            if case.truth & known:
                _count(tally, case, card, facts, model, refitted)
            else:
                tally.skipped += 1
            continue
        kind = tally.unnamed if case.truth else tally.quiet
        if case.onset is not None:
            kind.append(tally.undetermined(rank(card, case.onset)))
    return {"name": name, **_report(tally, facts), **model.report()}


def _count(
    tally: Tally,
    case: Case,
    card: Card,
    facts: Facts,
    model: ModelRun,
    refitted: Calibration | None,
) -> None:
    """One event, in both views and every way."""
    tally.events += 1
    for view, finding in (("onset", case.onset), ("incident", case.incident)):
        if finding is None:
            for way in (*tally.ways, ALIKE, REFITTED):
                tally.add(way, view, case, None, {})
            continue
        rules = rank(card, finding)
        tally.add(ALIKE, view, case, rules, facts.alike)
        tally.add(REFITTED, view, case, rank(card, finding, calibration=refitted), {})
        answers = {"rules": rules, **model.answers(case, card, finding, rules)}
        for way in tally.ways:
            tally.add(way, view, case, answers[way], {})


def _report(tally: Tally, facts: Facts) -> dict[str, Any]:
    ways = (*tally.ways, REFITTED, *((ALIKE,) if facts.alike else ()))
    quiet, unnamed = tally.quiet, tally.unnamed
    return {
        "events": tally.events,
        **{way: {view: tally.scores[way, view].report() for view in VIEWS} for way in ways},
        "normal_windows": len(quiet),
        "normal_undetermined": _share(quiet) if quiet else None,
        "events_without_stated_cause": len(unnamed),
        "events_without_stated_cause_undetermined": sum(unnamed),
        "events_of_faults_not_on_the_card": tally.skipped,
    }


@dataclass(frozen=True)
class Facts:
    """What ``equipment.json`` says of a catalogue beyond its faults."""

    without_cause: frozenset[str] = frozenset()
    alike: Groups = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Facts:
        """From the file's text."""
        document = json.loads(text)
        groups = [frozenset(group) for group in document.get("indistinguishable", [])]
        alike = {fault: group for group in groups for fault in group}
        return cls(frozenset(document.get("no_diagnosis", [])), alike)


class ModelRun:
    """Asks the model for each case, and keeps what it cost and what stood."""

    def __init__(self, complete: Complete | None, settings: DiagnoseSection) -> None:
        self._complete = complete
        self._settings = settings
        self._said = self._stood = self._failed = 0
        self._seconds: list[float] = []
        self._tokens: list[int] = []

    def answers(
        self, case: Case, card: Card, finding: Finding, rules: Ranking
    ) -> dict[str, Ranking]:
        """The model's own ranking and the combined one; the rules' where the model failed."""
        if self._complete is None:
            return {}
        job = Job(
            id=f"{case.run}-{finding.incident_id}",
            incident_id=finding.incident_id,
            equipment=finding.equipment,
            finding=finding,
            created_at=0.0,
        )
        allowance = Allowance(Level.FULL, "evaluation", max_tokens=self._settings.max_tokens)
        started = time.perf_counter()
        try:
            completion = self._complete(prepare(job, card, rules, allowance, self._settings))
        except (BadAnswer, Unavailable):
            self._failed += 1
            return {"model": rules, "combined": rules}
        self._seconds.append(time.perf_counter() - started)
        self._tokens.append(completion.tokens_in + completion.tokens_out)
        said = read_explanation(completion.text)
        self._said += len(sentences(said))
        explained = best_fault(card, rules.faults[0][0])
        self._stood += len(sentences(verified(said, finding, card, explained)))
        chances = completion.probabilities.get(FAULT_CHOICE, {})
        own = sorted(chances.items(), key=lambda pair: (-pair[1], pair[0]))
        return {"model": Ranking(tuple(own), 0.0), "combined": combine(rules, completion)}

    def report(self) -> dict[str, Any]:
        """Means per diagnosis. ``verified_share`` is of the sentences that the model wrote (None
        where it wrote none); the others are not published."""
        count = max(1, len(self._seconds))
        return {
            "verified_share": round(self._stood / self._said, 4) if self._said else None,
            "model_sentences": self._said,
            "model_sentences_verified": self._stood,
            "model_failures": self._failed,
            "seconds": round(sum(self._seconds) / count, 3),
            "tokens": round(sum(self._tokens) / count, 1),
        }
