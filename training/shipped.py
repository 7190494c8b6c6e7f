"""The cards that this project ships, as a test that no generator wrote.

Their faults carry formal symptoms beside the text; those are the truth here. A signal that the
table leaves out counts as right whether it is read as unmentioned or as unchanged, and so does a
hedged symptom that is read as unmentioned: engineers leave such cells open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import edge_agent.domain.card as equipment
from edge_agent.diagnose.compiled import labels_of
from edge_agent.diagnose.fault_reading import SIGNAL_WORDS, WORD_DIRECTIONS
from edge_agent.diagnose.library import load_card
from edge_agent.domain.card import SYMPTOM_WORDS, symptom_parts
from training.evaluate import Read
from training.reading import Card, FaultText

HEDGED = 0.7
MOST = 20
"""Signals; the plant with 52 would be one sequence of thousands of tokens."""
_WORDS = {direction.value: word for word, direction in WORD_DIRECTIONS.items()}
_SPEEDS = {"": "none", "sudden": "sudden", "slow": "slow", "days": "slow"}


@dataclass(frozen=True, slots=True)
class Shipped:
    """Figures over the shipped cards."""

    cards: int
    cells: int
    cell_accuracy: float
    mentioned_accuracy: float
    """Of the cells with an unhedged symptom other than unchanged."""
    wrong: tuple[str, ...]
    """Some of the cells that were read wrongly, in words."""


def shipped_cards(folder: Path, *, public: bool = False) -> list[Card]:
    """All cards under ``folder`` that have faults with formal symptoms.

    Those in its folder ``public`` are a set of their own: the generator was improved after a look
    at what was read wrongly in the others. Of these only the kinds of error were known.
    """
    found = []
    for path in sorted(folder.rglob("*.toml")):
        if ("public" in path.relative_to(folder).parts) != public:
            continue
        card = load_card(path)
        if card.signals and len(card.signals) <= MOST and any(f.symptoms for f in card.faults):
            found.append(_card(card))
    return found


def _card(card: equipment.Card) -> Card:
    names, labels = list(card.signals), labels_of(card)
    faults = []
    for fault in card.faults:
        if not fault.symptoms:
            continue
        targets = tuple(_target(fault.symptoms.get(name, "")) for name in names)
        faults.append(FaultText(fault.description, targets, {_SPEEDS[fault.development]: 1.0}))
    return Card(card.equipment, tuple(labels[name] for name in names), tuple(faults))


def _target(symptom: str) -> dict[str, float]:
    if not symptom:
        return {"none": 1.0}
    hedge, word = symptom_parts(symptom)
    answer = _WORDS[SYMPTOM_WORDS[word]]
    return {answer: HEDGED, "none": 1 - HEDGED} if hedge == "may" else {answer: 1.0}


def score(cards: Sequence[Card], read: Read, shown: int = 40) -> Shipped:
    """Read the cards and count."""
    right: list[bool] = []
    mentioned: list[bool] = []
    wrong: list[str] = []
    for card in cards:
        rows = iter(read(card).argmax(1))
        for fault in card.faults:
            for name, target in zip(card.labels, fault.signals, strict=True):
                word = SIGNAL_WORDS[next(rows)]
                allowed = {w for w, share in target.items() if share > 0}
                allowed |= {"same", "none"} if allowed & {"same", "none"} else set()
                hit = word in allowed
                right.append(hit)
                if allowed <= {"up", "down", "noisy", "stuck"}:
                    mentioned.append(hit)
                if not hit and len(wrong) < shown:
                    owed = "/".join(sorted(target))
                    wrong.append(
                        f"{card.machine}: {name}: {word}, not {owed}: {fault.text.strip()[:160]}"
                    )
            next(rows)
    return Shipped(
        len(cards),
        len(right),
        sum(right) / max(1, len(right)),
        sum(mentioned) / max(1, len(mentioned)),
        tuple(wrong),
    )
