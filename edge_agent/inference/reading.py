"""Many short questions about a text, each answered by one word: a batch of logits, no decoding.

Each text is computed once and shared by its questions; texts that begin alike share that, too. The
answer is the softmax over the logits of the options' first tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_agent.domain.completion import ReadingRequest
from edge_agent.errors import BadAnswer, Unavailable
from edge_agent.inference.answer import Deadline
from edge_agent.inference.drafts import shared_start
from edge_agent.inference.native import Row

if TYPE_CHECKING:
    from edge_agent.inference.engine import Engine

Probabilities = tuple[tuple[tuple[float, ...], ...], ...]
"""Text → question → option."""


def read(engine: Engine, deadline: Deadline, request: ReadingRequest) -> tuple[Probabilities, int]:
    """Probabilities, and the number of tokens computed. Raises ``BadAnswer`` for options that the
    model's tokenizer does not tell apart, or a text beyond the context."""
    questions = [engine.model.tokenize(question.text) for question in request.questions]
    options = [_first_tokens(engine, question.options) for question in request.questions]
    texts = [_started(engine, text) for text in request.texts]
    longest = max(map(len, texts)) + sum(map(len, questions))
    if longest > engine.context.tokens:
        raise BadAnswer(
            f"a text and its questions take {longest} tokens, the context has "
            f"{engine.context.tokens}; shorten the text or the card"
        )
    scratch = engine.cells.borrow(engine.context.shape.outputs)
    try:
        if len(scratch) < 2:
            raise Unavailable("too many answers are in the making to read a text; try again")
        return _read(engine, deadline, scratch, texts, list(zip(questions, options, strict=True)))
    finally:
        engine.cells.give_back(scratch)


def _read(
    engine: Engine,
    deadline: Deadline,
    scratch: list[int],
    texts: Sequence[list[int]],
    questions: Sequence[tuple[list[int], list[int]]],
) -> tuple[Probabilities, int]:
    stem, branches = scratch[0], scratch[1:]
    engine.context.drop(stem)
    held: list[int] = []
    found, computed = [], 0
    for text in texts:
        shared = shared_start(held, text[:-1])
        engine.context.drop(stem, shared)
        engine.feed(stem, shared, text[shared:], deadline)
        computed += len(text) - shared
        held = text
        answers: list[tuple[float, ...]] = []
        while len(answers) < len(questions):
            group = _group(questions[len(answers) :], len(branches), engine.context.shape.batch)
            rows: list[Row] = []
            last: list[int] = []
            for branch, (asked, _) in zip(branches, group, strict=False):
                engine.context.drop(branch)
                engine.context.copy(stem, branch)
                rows += [Row(token, len(text) + i, branch) for i, token in enumerate(asked)]
                rows[-1].logits = True
                last.append(len(rows) - 1)
            engine.decode(rows, deadline)
            computed += len(rows)
            for row, (_, options) in zip(last, group, strict=True):
                logits = engine.context.logits(row)
                answers.append(_softmax([float(logits[token]) for token in options]))
        found.append(tuple(answers))
    return tuple(found), computed


def _group(
    questions: Sequence[tuple[list[int], list[int]]], branches: int, batch: int
) -> Sequence[tuple[list[int], list[int]]]:
    """As many of the next questions as fit into one batch."""
    size = tokens = 0
    for asked, _ in questions[:branches]:
        if size and tokens + len(asked) > batch:
            break
        size, tokens = size + 1, tokens + len(asked)
    return questions[:size]


def _started(engine: Engine, text: str) -> list[int]:
    tokens = engine.model.tokenize(text)
    start = engine.model.start_token
    return tokens if start is None else [start, *tokens]


def _first_tokens(engine: Engine, options: Sequence[str]) -> list[int]:
    tokens = [engine.model.tokenize(option)[0] for option in options if option]
    if len(set(tokens)) != len(options) or len(options) < 2:
        raise BadAnswer(
            f"this model's tokenizer does not tell {', '.join(map(repr, options))} apart by their "
            "first token; read the card with another model"
        )
    return tokens


def _softmax(logits: Sequence[float]) -> tuple[float, ...]:
    top = max(logits)
    weights = [math.exp(one - top) for one in logits]
    total = sum(weights)
    return tuple(weight / total for weight in weights)
