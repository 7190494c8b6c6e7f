"""Probability of an enumerated choice, read from the model: likelihood normalised over the options.

log p(option) = sum of log p(token | before) over the option's tokens; the options then compete by
softmax. Where one option is the beginning of another, each also has to end there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from edge_agent.domain.completion import Choice
from edge_agent.errors import BadAnswer, Unavailable
from edge_agent.inference.answer import Deadline
from edge_agent.inference.native import Row
from edge_agent.inference.sampling import log_probabilities

if TYPE_CHECKING:
    from edge_agent.inference.engine import Engine

MAX_OPTIONS = 500


def score_choice(
    engine: Engine, ticket: Deadline, stem: tuple[int, int], asked: list[int], choice: Choice
) -> dict[str, float]:
    """Probabilities of the options after the tokens ``asked``, which follow ``stem`` (sequence,
    position). Raises ``BadAnswer`` for a choice that can't be asked."""
    options = _option_tokens(engine, choice)
    scratch = engine.cells.borrow(engine.context.shape.outputs)
    if len(scratch) < 2:
        engine.cells.give_back(scratch)
        raise Unavailable("too many answers are in the making to score a choice; try again")
    try:
        sequence, position = stem
        engine.context.copy(sequence, scratch[0])
        rows = [Row(token, position + i, scratch[0]) for i, token in enumerate(asked)]
        size = engine.context.shape.batch
        rows[-1].logits = True
        for start in range(0, len(rows), size):
            engine.decode(rows[start : start + size], ticket)
        first = log_probabilities(engine.context.logits((len(rows) - 1) % size))
        scores = [float(first[tokens[0]]) for tokens in options]
        stem = (scratch[0], position + len(asked))
        for option, more in _continuations(engine, ticket, stem, scratch[1:], options):
            scores[option] += more
    finally:
        engine.cells.give_back(scratch)
    return dict(zip(choice.options, _normalised(scores), strict=True))


def _option_tokens(engine: Engine, choice: Choice) -> list[list[int]]:
    count = len(choice.options)
    if not 1 <= count <= MAX_OPTIONS or len(set(choice.options)) != count:
        raise BadAnswer(
            f"the choice {choice.name!r} needs 1 to {MAX_OPTIONS} different options, not {count}"
        )
    options = [engine.model.tokenize(option) for option in choice.options]
    longest = engine.context.shape.outputs
    if any(not 1 <= len(tokens) <= longest for tokens in options):
        raise BadAnswer(f"an option of {choice.name!r} is empty or longer than {longest} tokens")
    if _nested(options):
        options = [[*tokens, engine.model.ends[0]] for tokens in options]
    return options


def _nested(options: list[list[int]]) -> bool:
    """Whether one option is the beginning of another: neighbours once they are sorted."""
    ordered = sorted(options)
    return any(b[: len(a)] == a for a, b in pairwise(ordered))


def _continuations(
    engine: Engine,
    ticket: Deadline,
    stem: tuple[int, int],
    scratch: list[int],
    options: list[list[int]],
) -> Iterator[tuple[int, float]]:
    """Log-probabilities of each option's tokens after its first, several options to a batch, each
    in a sequence of its own."""
    source, position = stem
    waiting = [i for i, tokens in enumerate(options) if len(tokens) > 1]
    outputs = engine.context.shape.outputs
    while waiting:
        rows: list[Row] = []
        wanted: list[tuple[int, int]] = []
        for sequence in scratch:
            if not waiting or len(rows) + len(options[waiting[0]]) - 1 > outputs:
                break
            option = waiting.pop(0)
            engine.context.drop(sequence)
            engine.context.copy(source, sequence)
            for offset, token in enumerate(options[option][:-1]):
                rows.append(Row(token, position + offset, sequence, logits=True))
                wanted.append((option, options[option][offset + 1]))
        engine.decode(rows, ticket)
        for row, (option, token) in enumerate(wanted):
            yield option, float(log_probabilities(engine.context.logits(row))[token])


def _normalised(scores: list[float]) -> list[float]:
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    total = sum(weights)
    return [weight / total for weight in weights]
