"""From ranking and answer to the published ``Diagnosis``. Pure.

Code writes what the evidence shows; of the model's sentences those are added that stand the check
of ``claims``. Faults, numbers, severity and actions never come from the model's text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edge_agent.diagnose.claims import verified
from edge_agent.diagnose.lexicon import lexicon_of
from edge_agent.diagnose.phrases import ENGLISH, Phrases
from edge_agent.diagnose.prompt import FAULT_CHOICE, fitting_reasons
from edge_agent.diagnose.rules import Ranking
from edge_agent.diagnose.wording import checked_up, deviating, explanation, telling
from edge_agent.domain.card import Card, CardFault
from edge_agent.domain.completion import Completion
from edge_agent.domain.diagnosis import Cost, Diagnosis, ManualPassage, RankedFault, Severity
from edge_agent.domain.feedback import SimilarIncident
from edge_agent.domain.job import Job
from edge_agent.domain.level import Level, Spent

MODEL_WEIGHT: Mapping[str, float] = {"embedded": 0.0, "1.2b": 0.35, "2.8b": 0.5, "4.5b": 0.6}
"""Exponent of the model's likelihood beside the rules' by tier. The embedded model picks a fault
hardly better than chance; at 0.1 the calibration error on a pump rig rose from
0.11 to 0.24 (docs/decisions/0012), so it is not heard."""
ALTERNATIVES = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the attempt to ask the model."""

    completion: Completion | None
    reason: str
    """Why there is no completion; empty where there is one."""
    spent: Spent
    level: Level
    similar: tuple[SimilarIncident, ...] = ()
    passages: tuple[ManualPassage, ...] = ()
    """What manuals say of the rules' best fault."""
    phrases: Phrases = ENGLISH
    """Of the language that code and model write."""


def combine(ranking: Ranking, completion: Completion | None) -> Ranking:
    """p ∝ rules · model^weight over the candidates that the model weighed; the others and ``other``
    keep the rules' share (a log-linear pool, Genest & Zidek 1986)."""
    chances = completion.probabilities.get(FAULT_CHOICE, {}) if completion else {}
    weight = MODEL_WEIGHT.get(completion.model.tier, 0.0) if completion else 0.0
    weighed = [(fault, p) for fault, p in ranking.faults if fault in chances]
    mass = sum(p for _, p in weighed)
    pooled = {fault: p * max(chances[fault], 1e-6) ** weight for fault, p in weighed}
    total = sum(pooled.values())
    if not math.isfinite(total) or total <= 0:
        return ranking
    both = [
        (fault, pooled[fault] / total * mass if fault in pooled else p)
        for fault, p in ranking.faults
    ]
    return Ranking(tuple(sorted(both, key=lambda pair: (-pair[1], pair[0]))), ranking.other)


def conclude(
    job: Job,
    card: Card | None,
    ranking: Ranking,
    outcome: Outcome,
    *,
    agent_id: str,
    created_at: str,
    undetermined_below: float,
) -> Diagnosis:
    """The result of a job, whatever the model did. Never raises for any answer. ``card``: in the
    outcome's language, as far as it is translated."""
    completion, phrases = outcome.completion, outcome.phrases
    rules_best = ranking.faults[0][0] if ranking.faults else ""
    ranking = combine(ranking, completion)
    best = None if _all_is_well(job) else _best(card, ranking, undetermined_below)
    text, source, reason = _text(job, card, ranking, best, outcome)
    titles = {fault.id: fault.title for fault in card.faults} if card else {}
    ranked = [
        RankedFault(id=fault, title=titles[fault], probability=round(p, 4))
        for fault, p in ranking.faults[: ALTERNATIVES + 1]
    ]
    spent = outcome.spent
    return Diagnosis(
        diagnosis_id=job.id,
        incident_id=job.incident_id,
        agent_id=agent_id,
        equipment=job.equipment,
        simulated=card.simulated if card else False,
        created_at=created_at,
        clock_trusted=job.finding.clock_trusted,
        window=job.finding.window,
        trigger=job.trigger,
        question=job.question,
        verdict="diagnosed" if best else "undetermined",
        fault=ranked[0] if best else None,
        alternatives=tuple(ranked[1:] if best else ranked[:ALTERNATIVES]),
        severity=best.severity
        if best
        else (Severity.INFO if _all_is_well(job) else Severity.WARNING),
        explanation=text,
        language=phrases.language,
        look_at=() if best else _look_at(card, ranking),
        manual_passages=outcome.passages if best and ranking.faults[0][0] == rules_best else (),
        evidence=job.finding.evidence,
        recommended_actions=best.actions if best else (),
        similar_incidents=outcome.similar,
        source=source,
        source_reason=reason,
        model=completion.model if completion else None,
        cost=Cost(
            tokens_in=completion.tokens_in if completion else 0,
            tokens_out=completion.tokens_out if completion else 0,
            seconds=round(spent.seconds, 3),
            joules=round(spent.joules, 3),
            joules_measured_or_estimated="measured" if spent.measured else "estimated",
        ),
        governor_level=outcome.level,
    )


def _best(card: Card | None, ranking: Ranking, undetermined_below: float) -> CardFault | None:
    if card is None or not ranking.faults:
        return None
    fault, probability = ranking.faults[0]
    if probability < undetermined_below or probability <= ranking.other:
        return None
    return next(one for one in card.faults if one.id == fault)


def _all_is_well(job: Job) -> bool:
    """A check-up found nothing: whatever the card likes to call it, there is no fault to name."""
    return job.trigger == "checkup" and not deviating(job.finding)


def _look_at(card: Card | None, ranking: Ranking) -> tuple[str, ...]:
    """The signal that would tell the two likeliest faults apart."""
    if card is None or len(ranking.faults) < 2:
        return ()
    signal = telling(card, ranking.faults[0][0], ranking.faults[1][0])
    return (signal,) if signal else ()


def _text(
    job: Job,
    card: Card | None,
    ranking: Ranking,
    best: CardFault | None,
    outcome: Outcome,
) -> tuple[str, Literal["model", "rules"], str]:
    """Explanation, source, and why the rules speak where they do."""
    finding, phrases = job.finding, outcome.phrases
    compose = checked_up if job.trigger == "checkup" else explanation
    composed = compose(finding, card, ranking, best, phrases)
    if outcome.completion is None:
        return composed, "rules", outcome.reason
    if best is None or card is None:
        return composed, "rules", "no fault is named, so there is nothing for the model to explain"
    text = outcome.completion.text
    lexicon = lexicon_of(phrases.language)
    kept = verified(read_explanation(text), finding, card, best, lexicon)
    why = read_answer(text).get("why")
    chosen = (
        why
        if isinstance(why, str) and why in fitting_reasons(best, finding, card, phrases.language)
        else ""
    )
    if not (kept or chosen):
        return composed, "rules", "nothing that the model said stood the check"
    told = " ".join(part for part in (composed, chosen, kept) if part)
    reason = "" if kept else "the model chose the card's sentence; its own wording did not stand"
    return told, "model", reason


def read_answer(text: str) -> dict[str, object]:
    """The model's JSON object; empty where it is none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def read_explanation(text: str) -> str:
    """The explanation in the model's answer; empty where there is none."""
    found = read_answer(text).get("explanation")
    return " ".join(found.split()) if isinstance(found, str) else ""
