"""How a language model is asked what a fault's text says of each signal. Pure.

The prompt is the same in training and on the gateway, so it stands in one place. Signals and
text form a prefix; each question about one signal continues it, and the answer is one word of
``SIGNAL_WORDS``, read as a probability over all of them (one more question asks for the speed):

    Signals: bearing temperature; flow
    Fault: The bearing runs hot while the flow stays as it was.
    bearing temperature: up
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from edge_agent.domain.card import Word
from edge_agent.domain.finding import Direction

SIGNAL_WORDS: tuple[Word, ...] = ("up", "down", "same", "noisy", "stuck", "none")
"""``same`` is said to stay as it was, ``none`` is not mentioned."""

SPEED_WORDS: tuple[Literal["slow", "sudden", "none"], ...] = ("slow", "sudden", "none")

WORD_DIRECTIONS: dict[Word, Direction] = {
    "up": Direction.UP,
    "down": Direction.DOWN,
    "same": Direction.NORMAL,
    "noisy": Direction.NOISY,
    "stuck": Direction.FROZEN,
}
"""Answer word → the direction that evidence carries; ``none`` has no direction."""


def reading_prefix(labels: Sequence[str], text: str) -> str:
    """The part that all questions about one fault share: the signals' labels and its text."""
    return f"Signals: {'; '.join(labels)}\nFault: {' '.join(text.split())}\n"


def signal_question(label: str) -> str:
    """What follows the prefix to ask for one signal; `` up`` and so on continue it."""
    return f"{label}:"


SPEED_QUESTION = "speed:"

AnswerKind = Literal["said", "none", "speed"]
"""Answers that are sure or unsure alike: a word for a signal, that the text says nothing of it, and
how fast."""


def kind_of(words: Sequence[str], chances: Sequence[float]) -> AnswerKind:
    """The kind of one answer over ``words``."""
    if len(words) == len(SPEED_WORDS):
        return "speed"
    best = max(range(len(words)), key=lambda at: chances[at])
    return "none" if words[best] == "none" else "said"


def tempered(
    words: Sequence[str], chances: Sequence[float], temperatures: Mapping[AnswerKind, float]
) -> tuple[float, ...]:
    """One answer at the temperature of its kind (1 where none is given): p^(1/T), summing to 1. The
    order of the words stays; above 1 they come closer together (Guo et al. 2017)."""
    power = 1.0 / temperatures.get(kind_of(words, chances), 1.0)
    raised = [max(p, 0.0) ** power for p in chances]
    total = sum(raised)
    return tuple(p / total for p in raised) if total > 0 else tuple(chances)
