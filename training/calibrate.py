"""How sure a reader may be: one temperature per kind of answer, fitted on cards it never saw.

Above 1 a reader that is surer than it is right becomes less sure; which word is likeliest stays.
After Guo et al. 2017, "On calibration of modern neural networks". Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_agent.diagnose.fault_reading import (
    SIGNAL_WORDS,
    SPEED_WORDS,
    AnswerKind,
    kind_of,
    tempered,
)
from training.evaluate import Read, Rows, perfect
from training.reading import Card

KINDS: tuple[AnswerKind, ...] = ("said", "none", "speed")
GRID = np.exp(np.linspace(0.0, np.log(4.0), 57))
"""From 1 on: what few examples would sharpen is better left."""
LEAST = 1e-6


def fitted(cards: Sequence[Card], read: Read) -> dict[AnswerKind, float]:
    """For each kind the temperature with the least cross entropy on ``cards``."""
    answers: dict[AnswerKind, list[tuple[NDArray[np.float64], NDArray[np.float64]]]]
    answers = {kind: [] for kind in KINDS}
    for card in cards:
        rows, truth = read(card), perfect(card)
        for at, words in _rows(card):
            chances = rows[at][: len(words)]
            answers[kind_of(words, list(chances))].append((chances, truth[at][: len(words)]))
    return {kind: _best(pairs) for kind, pairs in answers.items() if pairs}


def _best(pairs: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> float:
    logs = np.log(np.maximum(np.array([chances for chances, _ in pairs]), LEAST))
    truth = np.array([owed for _, owed in pairs])
    losses = []
    for temperature in GRID:
        scaled = logs / temperature
        scaled -= np.log(np.exp(scaled).sum(1, keepdims=True))
        losses.append(float(-(truth * scaled).sum(1).mean()))
    return round(float(GRID[int(np.argmin(losses))]), 3)


def _rows(card: Card) -> Iterator[tuple[int, Sequence[str]]]:
    """Row and words of each answer about ``card``."""
    width = len(card.labels) + 1
    for at in range(width * len(card.faults)):
        yield at, SPEED_WORDS if at % width == width - 1 else SIGNAL_WORDS


def calibrated(read: Read, temperatures: Mapping[AnswerKind, float]) -> Read:
    """``read`` with its answers at ``temperatures``."""

    def one(card: Card) -> Rows:
        rows = read(card).copy()
        for at, words in _rows(card):
            rows[at, : len(words)] = tempered(words, list(rows[at, : len(words)]), temperatures)
        return rows

    return one
