"""How well cards are read: cells, calibration, and the fault that follows. Pure.

The fault's score uses a matcher of its own over simulated observations, so that reading is
compared with a perfect reading under equal conditions: a symptom shows with ``SHOWS`` (less if
hedged), a calm signal moves with ``STRAYS``; the matcher believes other numbers than the
observations are made by.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.diagnose.fault_reading import SIGNAL_WORDS, SPEED_WORDS
from training.reading import Card, FaultText, best

Rows = NDArray[np.float64]
"""(faults · (signals + 1), words of a signal): probabilities, the speed after the signals."""
Read = Callable[[Card], Rows]

SEEN = ("up", "down", "same", "noisy", "stuck")
SHOWS = 0.88
STRAYS = 0.07
BELIEVED_SHOWS = 0.8
BELIEVED_STRAYS = 0.12
BINS = 10


@dataclass(frozen=True, slots=True)
class Score:
    """Figures over a set of cards."""

    cards: int
    cells: int
    cell_accuracy: float
    mentioned_accuracy: float
    """Of the cells that the text says something about."""
    speed_accuracy: float
    ece: float
    """Expected calibration error of the cells' best word, in ten bins."""
    fault_top1: float
    oracle_top1: float
    cases: int

    @property
    def of_oracle(self) -> float:
        """The faults found, as a share of what a perfect reading finds."""
        return self.fault_top1 / self.oracle_top1 if self.oracle_top1 else 0.0


def perfect(card: Card) -> Rows:
    """What a perfect reader answers."""
    rows = []
    for fault in card.faults:
        rows += [[t.get(word, 0.0) for word in SIGNAL_WORDS] for t in fault.signals]
        speed = [fault.speed.get(word, 0.0) for word in SPEED_WORDS]
        rows.append(speed + [0.0] * (len(SIGNAL_WORDS) - len(SPEED_WORDS)))
    return np.array(rows)


def evaluate(cards: Sequence[Card], read: Read, seed: int = 7) -> Score:
    """Score ``read`` on ``cards``; one simulated case per fault, the same for every reader."""
    rng = random.Random(seed)  # noqa: S311 -- a simulation
    right: list[bool] = []
    mentioned: list[bool] = []
    speed: list[bool] = []
    sure: list[float] = []
    owed: list[float] = []
    found = oracle = cases = 0
    for card in cards:
        rows, truth = read(card), perfect(card)
        width = len(card.labels) + 1
        for row in range(len(rows)):
            hit = bool(rows[row].argmax() == truth[row].argmax())
            if row % width == width - 1:
                speed.append(hit)
                continue
            right.append(hit)
            sure.append(float(rows[row].max()))
            owed.append(float(truth[row][rows[row].argmax()]))
            if truth[row].argmax() != SIGNAL_WORDS.index("none"):
                mentioned.append(hit)
        for number, fault in enumerate(card.faults):
            if not _tells(fault):
                continue
            seen = observe(fault, rng)
            cases += 1
            found += match(rows, seen, width) == number
            oracle += match(truth, seen, width) == number
    return Score(
        len(cards),
        len(right),
        _mean(right),
        _mean(mentioned),
        _mean(speed),
        calibration_error(sure, owed),
        found / max(1, cases),
        oracle / max(1, cases),
        cases,
    )


def _tells(fault: FaultText) -> bool:
    return any(best(target) not in ("none", "same") for target in fault.signals)


def _mean(values: Sequence[bool]) -> float:
    return float(np.mean(values)) if values else 0.0


def observe(fault: FaultText, rng: random.Random) -> tuple[str, ...]:
    """What each signal does in one case of the fault."""
    seen = []
    for target in fault.signals:
        word = best(target)
        shown = word in ("up", "down", "noisy", "stuck") and rng.random() < SHOWS * target[word]
        stray = rng.choice(("up", "down", "noisy")) if rng.random() < STRAYS else "same"
        seen.append(word if shown else stray)
    return tuple(seen)


def match(rows: Rows, seen: Sequence[str], width: int) -> int:
    """The fault whose cells make the observations most likely."""
    scores = []
    for start in range(0, len(rows), width):
        total = 0.0
        for cell, what in zip(rows[start : start + width - 1], seen, strict=True):
            total += math.log(
                sum(p * _chance(w, what) for p, w in zip(cell, SIGNAL_WORDS, strict=True))
            )
        scores.append(total)
    return int(np.argmax(scores))


def _chance(expected: str, seen: str) -> float:
    """Of seeing that where a text says ``expected``."""
    calm = 1 - BELIEVED_STRAYS if seen == "same" else BELIEVED_STRAYS / (len(SEEN) - 1)
    if expected in ("same", "none"):
        return calm
    return BELIEVED_SHOWS * (seen == expected) + (1 - BELIEVED_SHOWS) * calm


def calibration_error(sure: Sequence[float], right: Sequence[float]) -> float:
    """Σ share of a bin · |mean confidence − mean rightness|, bins of equal width over 0 … 1."""
    if not sure:
        return 0.0
    bins = np.minimum((np.array(sure) * BINS).astype(int), BINS - 1)
    error = 0.0
    for number in range(BINS):
        inside = bins == number
        if inside.any():
            gap = np.array(sure)[inside].mean() - np.array(right)[inside].mean()
            error += float(inside.mean() * abs(gap))
    return error
