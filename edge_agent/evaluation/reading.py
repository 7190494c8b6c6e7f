"""How well the texts of cards are read: against the formal symptoms that a person wrote. Pure.

A cell is one signal of one fault; its truth is the card's formal symptom, or ``none`` where the
card has none for that signal. Hedges do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.diagnose.fault_reading import WORD_DIRECTIONS
from edge_agent.diagnose.symptoms import table_of
from edge_agent.domain.card import SYMPTOM_WORDS, Card, CardFault, symptom_parts

BINS = 10
WORDS = {direction.value: word for word, direction in WORD_DIRECTIONS.items()}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell as it should be and as it was read."""

    card: str
    fault: str
    signal: str
    truth: str
    read: str
    probability: float
    """Of the word that was read."""


def blank(card: Card) -> Card:
    """The card without its formal symptoms: only its texts are left."""
    faults = tuple(fault.model_copy(update={"symptoms": {}}) for fault in card.faults)
    return card.model_copy(update={"faults": faults})


def truth_of(fault: CardFault, signal: str) -> str:
    """What a person said of that signal."""
    symptom = fault.symptoms.get(signal)
    if symptom is None:
        return "none"
    return WORDS[SYMPTOM_WORDS[symptom_parts(symptom)[1]]]


def read_cells(card: Card, table: Card) -> list[Cell]:
    """Every cell of a card with formal symptoms, as ``table`` (the blank card with what was read
    of its texts) has it."""
    read = {fault.id: fault.read for fault in table.faults}
    found = []
    for fault in card.faults:
        for signal in card.signals:
            cell = read[fault.id].get(signal, {"none": 1.0})
            chances = {cell: 1.0} if isinstance(cell, str) else {str(w): p for w, p in cell.items()}
            word = max(chances, key=lambda one: chances[one])
            truth = truth_of(fault, signal)
            found.append(Cell(card.equipment, fault.id, signal, truth, word, chances[word]))
    return found


def read_by_keywords(card: Card) -> list[Cell]:
    """The same by the rules that read plain language without a model."""
    table = table_of(blank(card))
    found = []
    for fault in card.faults:
        for signal in card.signals:
            expected = table[fault.id].get(signal)
            word = WORDS[expected.direction.value] if expected else "none"
            trust = expected.trust if expected else 1.0
            truth = truth_of(fault, signal)
            found.append(Cell(card.equipment, fault.id, signal, truth, word, trust))
    return found


def score(cells: Sequence[Cell]) -> dict[str, float]:
    """Share of cells that are right; of those that a person mentioned, and of those that the
    reader did; expected calibration error (Naeini et al. 2015, equal-width bins)."""
    mentioned = [one for one in cells if one.truth != "none"]
    claimed = [one for one in cells if one.read != "none"]
    return {
        "cells": float(len(cells)),
        "accuracy": _right(cells),
        "mentioned": _right(mentioned),
        "claimed": _right(claimed),
        "calibration_error": calibration_error(cells),
    }


def _right(cells: Sequence[Cell]) -> float:
    return sum(one.read == one.truth for one in cells) / len(cells) if cells else 0.0


def calibration_error(cells: Sequence[Cell]) -> float:
    """Mean distance between how sure and how often right, weighted by how many a bin holds."""
    bins: dict[int, list[Cell]] = {}
    for one in cells:
        bins.setdefault(min(BINS - 1, int(one.probability * BINS)), []).append(one)
    return sum(
        abs(sum(one.probability for one in some) / len(some) - _right(some)) * len(some)
        for some in bins.values()
    ) / max(1, len(cells))
