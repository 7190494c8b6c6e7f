"""What each fault does to each signal: from the card's formal symptoms, else read from its text.

Reading plain language by rules is the fallback for cards without formal symptoms: a clause that
names a signal and a verb of direction says what that signal does. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.diagnose.fault_reading import WORD_DIRECTIONS
from edge_agent.domain.card import SYMPTOM_WORDS, Card, CardFault, CellReading, symptom_parts
from edge_agent.domain.finding import Direction

FORMAL_TRUST = 0.85
HEDGED_TRUST: Mapping[str, float] = {"": FORMAL_TRUST, "may": 0.5, "clearly": 0.95}
READ_TRUST = 0.6
MENTIONED = 0.1
"""A signal less probably mentioned than this is taken as not mentioned at all."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a fault does to one signal, and how far that is believed (0 to 1)."""

    direction: Direction
    trust: float
    strong: bool = False
    """It is expected to go far."""
    read: tuple[tuple[Direction | None, float], ...] = ()
    """Where a model read it from a text: every direction with its probability; None stands for
    "not mentioned". ``direction`` and ``trust`` are then those of the most probable one."""


Table = Mapping[str, Mapping[str, Expectation]]
"""Fault id → signal → expectation; a signal that is left out is not mentioned."""

_VERBS: tuple[tuple[str, Direction], ...] = (
    (r"unchanged|stays?\b|remains?\b|as (?:it|they) w(?:as|ere)|hardly change", Direction.NORMAL),
    (r"frozen|stuck|repeats? its|no longer (?:changes|moves|shows)", Direction.FROZEN),
    (r"noisy|fluctuat\w*|unsteady|erratic|pulsat\w*|oscillat\w*", Direction.NOISY),
    (r"fall\w*|drop\w*|decreas\w*|low\w*|less|declin\w*|collaps\w*|lost|lose\w*", Direction.DOWN),
    (
        r"ris(?:e|es|ing)|rose|increas\w*|high\w*|climb\w*|grow\w*|more|rais\w*|warm\w*|heat\w*",
        Direction.UP,
    ),
)
_CLAUSE = re.compile(
    r"[.;:!?\n]|,(?=\s*(?:but|while|whereas|and the|because|so))|\bbut\b|\bwhile\b"
)
_STOP = {"the", "of", "a", "an", "in", "at", "rms", "and", "to", "c", "g", "v", "per", "min", "l"}


def table_of(card: Card) -> Table:
    """The whole table of a card; formal symptoms win over the text."""
    words = signal_words(card)
    return {fault.id: _expectations(fault, words) for fault in card.faults}


def signal_words(card: Card) -> dict[str, frozenset[str]]:
    """Signal → the words by which a text may mean it."""
    return {
        name: _words(f"{name} {signal.called} {signal.meaning}")
        for name, signal in card.signals.items()
    }


def _expectations(
    fault: CardFault, words: Mapping[str, frozenset[str]]
) -> Mapping[str, Expectation]:
    formal = {signal: _formal(word) for signal, word in fault.symptoms.items()}
    if fault.read:
        found = {signal: _read(cell) for signal, cell in fault.read.items()}
        return {name: one for name, one in found.items() if one is not None} | formal
    if formal:
        return formal
    return read_text(f"{fault.title}. {fault.description}", words)


def _formal(text: str) -> Expectation:
    hedge, word = symptom_parts(text)
    return Expectation(Direction(SYMPTOM_WORDS[word]), HEDGED_TRUST[hedge], hedge == "clearly")


def _read(cell: CellReading) -> Expectation | None:
    """A model's reading of one cell; None where the signal is hardly mentioned."""
    if isinstance(cell, str):
        return _formal(cell)
    chances = {WORD_DIRECTIONS.get(word): p for word, p in cell.items()}
    said = {way: p for way, p in chances.items() if way is not None}
    if sum(said.values()) < MENTIONED:
        return None
    way = max(said, key=lambda one: said[one])
    return Expectation(way, FORMAL_TRUST * said[way], read=tuple(chances.items()))


def read_text(text: str, words: Mapping[str, frozenset[str]]) -> dict[str, Expectation]:
    """Signals with what ``text`` says of them; the first clear statement about each counts."""
    found: dict[str, Expectation] = {}
    for clause in _CLAUSE.split(text.lower().replace("_", " ")):
        verbs = ((re.search(rf"\b(?:{pattern})", clause), way) for pattern, way in _VERBS)
        direction = next((way for match, way in verbs if match), None)
        if direction is None:
            continue
        said = _words(clause)
        for signal, names in words.items():
            overlap = len(names & said)
            if overlap and overlap >= min(2, len(names)) and signal not in found:
                found[signal] = Expectation(direction, READ_TRUST)
    return found


def _words(text: str) -> frozenset[str]:
    parts = re.findall(r"[a-z]+", text.lower().replace("_", " "))
    return frozenset(part.rstrip("s") for part in parts if part not in _STOP and len(part) > 2)
