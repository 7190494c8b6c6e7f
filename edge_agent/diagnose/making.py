"""From the circumstances of a job to its prompt and, with the model's answer, to its diagnosis.

Pure: the diagnosis loop and a replay make the same result of the same values.
"""

from __future__ import annotations

from edge_agent.diagnose.answer import Outcome, conclude
from edge_agent.diagnose.phrases import phrases_of
from edge_agent.diagnose.prompt import prepare
from edge_agent.diagnose.rules import Ranking, rank
from edge_agent.diagnose.translation import translated
from edge_agent.domain.audit import Circumstances
from edge_agent.domain.card import Card
from edge_agent.domain.completion import Completion, CompletionRequest
from edge_agent.domain.diagnosis import Diagnosis
from edge_agent.domain.level import Spent


def ranking_of(given: Circumstances) -> Ranking:
    """What the rules make of it."""
    if given.card is None:
        return Ranking((), 1.0)
    return rank(given.card, given.job.finding, given.confirmed)


def request_of(given: Circumstances, ranking: Ranking) -> CompletionRequest | None:
    """What the model is to be asked; None where no card names faults."""
    card = _shown(given)
    if card is None or not ranking.faults:
        return None
    settings = given.settings
    return prepare(
        given.job, card, ranking, given.allowance, settings, given.passages, given.similar
    )


def diagnosis_of(
    given: Circumstances,
    ranking: Ranking,
    completion: Completion | None,
    reason: str,
    spent: Spent,
) -> Diagnosis:
    """The result, whatever the model did. ``reason``: why there is no completion."""
    phrases, level = phrases_of(given.settings.language), given.allowance.level
    outcome = Outcome(completion, reason, spent, level, given.similar, given.passages, phrases)
    return conclude(
        given.job,
        _shown(given),
        ranking,
        outcome,
        agent_id=given.agent_id,
        created_at=given.created_at,
        undetermined_below=given.settings.undetermined_below,
    )


def _shown(given: Circumstances) -> Card | None:
    return translated(given.card, given.settings.language) if given.card else None
