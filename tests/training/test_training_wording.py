"""Explanations to learn from: true by the gateway's own check, and in its own prompt."""

from __future__ import annotations

import json
import random

import pytest

from edge_agent.diagnose.answer import read_explanation
from edge_agent.diagnose.claims import sentences, verified
from edge_agent.domain.finding import Direction
from training.generate import source
from training.wording import Explained, as_answer, explained
from training.wording_prompt import (
    WORDING_SYSTEM,
    wording_question,
    wording_request,
    wording_schema,
)


def _cases(count: int, *, held: bool = False) -> list[Explained]:
    origin, rng = source(held_machines=held, held_phrases=held), random.Random(3)
    return [explained(origin, rng) for _ in range(count)]


@pytest.mark.parametrize("held", [False, True])
def test_every_sentence_of_every_answer_stands(held: bool) -> None:
    for case in _cases(25, held=held):
        for answer in case.answers:
            assert verified(answer, case.finding, case.equipment) == answer
            assert len(sentences(answer)) >= 1


def test_the_question_holds_all_evidence_and_the_fault() -> None:
    for case in _cases(10):
        for one in case.finding.evidence:
            if one.direction is not Direction.NORMAL:
                assert f"[{one.id}]" in case.question
        assert f"Fault: {case.fault.title}" in case.question
        assert case.question == wording_question(case.finding, case.fault)


def test_an_answer_is_what_the_schema_asks_for() -> None:
    case = _cases(1)[0]
    text = as_answer(case.answers[0])
    assert read_explanation(text) == case.answers[0]
    assert list(json.loads(text)) == wording_schema()["required"]
    limit = wording_schema()["properties"]["explanation"]["maxLength"]
    assert all(len(answer) <= limit for one in _cases(20) for answer in one.answers)


def test_the_request_throws_no_dice_and_names_its_adapter() -> None:
    case = _cases(1)[0]
    request = wording_request("r", case.finding, case.fault, "fault-wording")
    assert request.greedy
    assert (request.system, request.adapter) == (WORDING_SYSTEM, "fault-wording")


def test_the_same_dice_give_the_same_case() -> None:
    assert _cases(3) == _cases(3)
