"""What a new model is asked before it is used: a built-in question, and stored incidents whose
fault the rules know for sure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edge_agent.config.diagnose import DiagnoseSection
from edge_agent.diagnose.prompt import FAULT_CHOICE, prepare
from edge_agent.diagnose.rules import rank
from edge_agent.domain.card import Card
from edge_agent.domain.completion import Choice, Completion, CompletionRequest
from edge_agent.domain.job import Job
from edge_agent.domain.level import Allowance, Level
from edge_agent.errors import BadAnswer

CANARY_DEADLINE_S = 300.0
STORED_CASES = 3
SURE = 0.8
"""A stored incident is a question with a known answer where the rules give its fault this much."""
SLOWEST_TOKENS_PER_S = 0.2
"""A model that writes more slowly on this device is refused: an answer would take minutes."""

FAULTS = ("blocked_filter", "worn_bearing", "leaking_seal")


@dataclass(frozen=True, slots=True)
class CanaryCase:
    """A question, and the option of its fault choice that is right; None: any valid answer."""

    request: CompletionRequest
    expected: str | None = None


BUILT_IN_CASE = CanaryCase(
    CompletionRequest(
        request_id="canary",
        system="You are a maintenance engineer. Answer in JSON.",
        context=(
            "Machine: cooling pump. Faults: blocked_filter (flow falls, pressure before the filter"
            " rises), worn_bearing (vibration and temperature rise), leaking_seal (level falls)."
        ),
        question="Flow fell by 9 sigma, inlet pressure rose by 7 sigma. Which fault?",
        json_schema={
            "type": "object",
            "properties": {
                "fault": {"type": "string", "enum": list(FAULTS)},
                "why": {"type": "string", "maxLength": 120},
            },
            "required": ["fault", "why"],
            "additionalProperties": False,
        },
        max_tokens=96,
        choices=(Choice(name=FAULT_CHOICE, question="The fault is", options=FAULTS),),
        greedy=True,
        deadline_s=CANARY_DEADLINE_S,
    )
)
"""Asked of every new model; it must answer, whatever it names."""


def stored_cases(
    jobs: Iterable[Job], card_for: Callable[[str], Card | None], settings: DiagnoseSection
) -> list[CanaryCase]:
    """Up to ``STORED_CASES`` incidents of different fingerprints whose fault is sure, in the order
    of ``jobs``, as the questions that the model was or would have been asked."""
    found: dict[str, CanaryCase] = {}
    allowance = Allowance(Level.FULL, "canary", max_tokens=settings.max_tokens)
    for job in jobs:
        card = card_for(job.equipment)
        if card is None or job.finding.fingerprint in found:
            continue
        ranking = rank(card, job.finding)
        if not ranking.faults or ranking.faults[0][1] < SURE:
            continue
        request = prepare(job, card, ranking, allowance, settings)
        asked = request.model_copy(update={"greedy": True, "deadline_s": CANARY_DEADLINE_S})
        found[job.finding.fingerprint] = CanaryCase(asked, ranking.faults[0][0])
        if len(found) == STORED_CASES:
            break
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Marks:
    """How a model did."""

    right: int
    of: int
    """Cases with a known answer."""
    tokens_per_s: float
    """The slowest answer."""


def examine(ask: Callable[[CompletionRequest], Completion], cases: Sequence[CanaryCase]) -> Marks:
    """Put ``cases`` to a model. Raises what ``ask`` raises, and ``BadAnswer`` for no JSON."""
    right, speeds = 0, []
    for case in cases:
        answer = ask(case.request)
        if not isinstance(json.loads(answer.text), dict):
            raise BadAnswer(f"{case.request.request_id}: the answer is no JSON object")
        chances = answer.probabilities.get(FAULT_CHOICE, {})
        if case.expected is not None and chances:
            right += max(chances, key=lambda option: chances[option]) == case.expected
        speeds.append(answer.tokens_out / max(answer.decode_seconds, 1e-3))
    return Marks(right, sum(case.expected is not None for case in cases), min(speeds))


def refuse_if_worse(new: Marks, old: Marks | None) -> None:
    """Raise ``BadAnswer`` where a model is too slow here, or names fewer of the stored incidents
    than the one in use (``old``; None: it could not be asked)."""
    if new.tokens_per_s < SLOWEST_TOKENS_PER_S:
        raise BadAnswer(
            f"it writes {new.tokens_per_s:.2f} tokens/s here, less than {SLOWEST_TOKENS_PER_S}"
        )
    if old is not None and new.right < old.right:
        raise BadAnswer(
            f"of {new.of} stored incidents it names {new.right}, the model in use {old.right}"
        )
