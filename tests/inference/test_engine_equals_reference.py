"""What the engine leaves out changes nothing: its greedy answers equal a plain loop's."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llguidance import LLMatcher

from edge_agent.domain.completion import CompletionRequest
from edge_agent.errors import BadAnswer
from edge_agent.inference import template
from edge_agent.inference.catalog import resolve
from edge_agent.inference.engine import Engine
from edge_agent.inference.native import ContextShape, Row

SCHEMAS: dict[str, dict[str, Any]] = {
    "diagnosis": {
        "type": "object",
        "properties": {
            "fault": {"enum": ["bearing_wear", "cavitation", "leak"]},
            "explanation": {"type": "string", "maxLength": 40},
        },
        "required": ["fault", "explanation"],
        "additionalProperties": False,
    },
    "numbers": {
        "type": "array",
        "items": {"type": "integer", "minimum": 0, "maximum": 99},
        "maxItems": 4,
    },
    "choice of kinds": {"anyOf": [{"type": "boolean"}, {"type": "string", "maxLength": 8}]},
    "map": {
        "type": "object",
        "properties": {name: {"enum": ["up", "down", "normal"]} for name in ("flow", "pressure")},
        "required": ["flow", "pressure"],
        "additionalProperties": False,
    },
    "pattern": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
    "long enum": {"enum": [f"fault number {i} of the pump" for i in range(40)]},
}
CARDS = ("The pump P-1 moves water.", "Größe Ω: the bearing wear raises vibration. " * 3, "")
QUESTIONS = ("The flow fell to 3 L/min.", 'A "quoted" <|im_end|> text\n\nand 過熱.', "Why?")


UNENDING = "did not end"
ATTEMPTS = {"new prefix": False, "kept prefix": False, "drafts": True}
"""How the engine may go about it, and whether it drafts."""


def engine_answer(engine: Engine, request: CompletionRequest) -> str:
    try:
        return engine.complete(request, lambda: False).text
    except BadAnswer as error:
        return UNENDING if UNENDING in str(error) else str(error)


def requests() -> Iterator[CompletionRequest]:
    for schema, card, question in itertools.product(SCHEMAS.values(), CARDS, QUESTIONS):
        yield CompletionRequest(
            request_id="r",
            system="Answer in JSON.",
            context=card,
            question=question,
            json_schema=schema,
            max_tokens=150,
            greedy=True,
            threads=1,
        )


def reference_answer(engine: Engine, request: CompletionRequest, style: str = "chatml") -> str:
    """The greedy answer, computed from an empty sequence token by token; ``UNENDING`` where the
    allowed tokens do not suffice."""
    parts = [
        *template.prefix_parts(style, request.system, request.context),
        template.Part(request.question),
        template.answer_part(style),
    ]
    tokens = template.tokens_of(parts, engine.model.tokenize)
    schema = json.dumps(request.json_schema)
    grammar = LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_flexible": False})
    matcher = LLMatcher(engine._tokenizer, grammar, log_level=0)
    engine.context.rearm()
    (scratch,) = engine.cells.borrow(1)
    for position, token in enumerate(tokens):
        engine.context.decode([Row(token, position, scratch, logits=True)])
    answer: list[int] = []
    while len(answer) < request.max_tokens:
        forced = matcher.compute_ff_tokens()
        if forced:
            token = forced[0]
        else:
            bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
            allowed = np.unpackbits(bits, bitorder="little")[: engine.model.size] == 1
            logits = engine.context.logits(0)
            token = int(np.argmax(np.where(allowed, logits, -np.inf)))
        assert matcher.consume_token(token), matcher.get_error()
        if token not in engine.model.ends:
            answer.append(token)
        if matcher.is_stopped() or token in engine.model.ends:
            break
        engine.context.decode([Row(token, len(tokens), scratch, logits=True)])
        tokens.append(token)
    engine.cells.give_back([scratch])
    if not matcher.is_stopped():
        return UNENDING
    return b"".join(engine.model.piece(token) for token in answer).decode()


@pytest.mark.parametrize("architecture", ["arcee", "qwen3", "smollm3", "llama"])
def test_tiny_models_of_each_architecture(
    tiny_model: Callable[..., Path], architecture: str
) -> None:
    model = resolve(str(tiny_model(architecture)), Path())
    engine = Engine(str(model.path), model.manifest, "0" * 64, ContextShape(1024))
    drafted = accepted = 0
    for request in requests():
        expected = reference_answer(engine, request)
        for attempt, drafts in ATTEMPTS.items():
            engine.drafts = drafts
            assert engine_answer(engine, request) == expected, attempt
        drafted += engine.last_meter.drafted
        accepted += engine.last_meter.accepted
    assert 0 < accepted < drafted
    engine.close()


def test_drafts_change_no_drawn_answer(tiny_model: Callable[..., Path]) -> None:
    model = resolve(str(tiny_model("arcee")), Path())
    engine = Engine(str(model.path), model.manifest, "0" * 64, ContextShape(1024))
    drafted = 0
    for seed, request in enumerate(requests()):
        drawn = request.model_copy(update={"greedy": False, "seed": seed})
        answers = []
        for engine.drafts in (False, True):
            answers.append(engine_answer(engine, drawn))
        drafted += engine.last_meter.drafted
        assert answers[0] == answers[1]
        if answers[0] != UNENDING:  # random bytes were drawn, and still it is UTF-8 and JSON
            json.loads(answers[0])
    assert drafted > 0
    engine.close()


@pytest.mark.model
def test_embedded_model() -> None:
    model = resolve("smollm2-135m", Path())
    engine = Engine(str(model.path), model.manifest, "0" * 64, ContextShape(1024))
    for number, request in enumerate(itertools.islice(requests(), 0, None, 4)):
        engine.drafts = number % 2 == 0
        assert engine_answer(engine, request) == reference_answer(engine, request)
    engine.close()
