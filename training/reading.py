"""A card to be read, with what a perfect reader would answer. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FaultText:
    """One fault's text and the answers to the questions about it."""

    text: str
    signals: tuple[dict[str, float], ...]
    """For each label of the card: word → probability, summing to 1."""
    speed: dict[str, float] = field(default_factory=lambda: {"none": 1.0})


@dataclass(frozen=True, slots=True)
class Card:
    """Labels of the signals as the gateway shows them, and the faults."""

    machine: str
    labels: tuple[str, ...]
    faults: tuple[FaultText, ...]


def best(target: dict[str, float]) -> str:
    """The most probable word."""
    return max(target, key=lambda word: target[word])
