"""A recorded diagnosis, made again, and what differs. Pure but for the model that it is given.

The same window, prompt, model, seed and sampling give the same words, and the same rules the same
ranking; so a difference means that the program, the model or its adapter is another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_agent.diagnose.making import diagnosis_of, ranking_of, request_of
from edge_agent.diagnose.program import program
from edge_agent.domain.audit import DiagnosisRecord
from edge_agent.domain.completion import Completion, CompletionRequest
from edge_agent.domain.diagnosis import Diagnosis
from edge_agent.domain.finding import Record
from edge_agent.errors import BadAnswer, Unavailable

Complete = Callable[[CompletionRequest], Completion]


class Difference(Record):
    """One thing that is not as it was."""

    what: str
    then: Any
    now: Any


class Remade(Record):
    """The outcome of making a diagnosis again."""

    diagnosis_id: str
    identical: bool
    """Whether the result is the published one, to the last letter."""
    asked_model: bool
    """Whether the model answered again; otherwise its recorded answer was used, if there is one."""
    not_asked: str = ""
    """Why it did not."""
    changed: tuple[Difference, ...]
    """What went in and is another one now: program, prompt, model, adapter, sampling, answer."""
    differences: tuple[Difference, ...]
    """What came out otherwise."""
    diagnosis: Diagnosis


def remake(record: DiagnosisRecord, complete: Complete | None) -> Remade:
    """Make the diagnosis of ``record`` again; ``complete`` asks the model, None: take its recorded
    answer."""
    given, before = record.circumstances, record.completion
    ranking = ranking_of(given)
    answer, not_asked = before, ""
    if record.request is None or before is None:
        not_asked = "the rules had answered alone"
    elif complete is None:
        not_asked = "the recorded answer was asked for"
    else:
        try:
            answer = complete(record.request).by_prompt(before.model.prompt_version)
        except (BadAnswer, Unavailable) as error:
            not_asked = str(error)
    again = diagnosis_of(given, ranking, answer, record.reason, record.spent)
    now = request_of(given, ranking) if record.request is not None else None
    differences = _compare(
        record.diagnosis.model_dump(mode="json"), again.model_dump(mode="json"), ""
    )
    return Remade(
        diagnosis_id=given.job.id,
        identical=not differences,
        asked_model=not not_asked,
        not_asked=not_asked,
        changed=(
            *_compare(given.program.model_dump(), program().model_dump(), "program."),
            *_compare(_prompt(record.request), _prompt(now), "prompt."),
            *_compare(_answer(before), _answer(answer), ""),
        ),
        differences=tuple(differences),
        diagnosis=again,
    )


def _prompt(request: CompletionRequest | None) -> dict[str, Any]:
    return request.model_dump(mode="json") if request else {}


def _answer(completion: Completion | None) -> dict[str, Any]:
    if completion is None:
        return {}
    return {
        "model": completion.model.name,
        "model_sha256": completion.model.sha256,
        "adapter_sha256": completion.adapter_sha256,
        "sampling": completion.sampling,
        "answer": completion.text,
        "probabilities": completion.probabilities,
    }


def _compare(then: dict[str, Any], now: dict[str, Any], start: str) -> list[Difference]:
    return [
        Difference(what=f"{start}{name}", then=then.get(name), now=now.get(name))
        for name in dict.fromkeys((*then, *now))
        if then.get(name) != now.get(name)
    ]
