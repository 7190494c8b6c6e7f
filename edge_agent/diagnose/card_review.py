"""What is valid in a card and yet wrong, or poor: said before the card is relied upon. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from edge_agent.diagnose.symptoms import Expectation, table_of
from edge_agent.domain.card import Card, CardFault, Word
from edge_agent.domain.finding import Direction

OPPOSITE: dict[Direction, Word] = {Direction.UP: "down", Direction.DOWN: "up"}
CONTRADICTED = 0.8
"""Probability of the opposite from which on a reading contradicts a formal symptom."""
MANY_FAULTS = 24
"""The prompt of a model holds the descriptions of so many."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that the engineer should look at."""

    place: str
    """Key inside the card."""
    text: str
    """What is the matter, and what to do."""


def review(card: Card) -> list[Remark]:
    """Everything worth saying of a valid card, in the order of the file."""
    return [*_signals(card), *_faults(card), *_twins(card)]


def _signals(card: Card) -> Iterator[Remark]:
    if not card.signals:
        yield Remark("signals", "none: evidence has no units, and no symptom can be matched")
    for name, signal in card.signals.items():
        if not signal.unit:
            yield Remark(f"signals.{name}.unit", "empty: results show the number without its unit")
        inside = signal.normal is None or signal.physical is None
        if not inside and not (
            signal.physical[0] <= signal.normal[0] and signal.normal[1] <= signal.physical[1]  # type: ignore[index]
        ):
            yield Remark(f"signals.{name}.normal", "reaches beyond what the sensor can measure")


def _faults(card: Card) -> Iterator[Remark]:
    if not card.faults:
        yield Remark("faults", "none: incidents are told, but never named; add some, or a type")
    if len(card.faults) > MANY_FAULTS:
        yield Remark("faults", f"a model reads the first {MANY_FAULTS}; the rules rank all of them")
    table = table_of(card)
    for fault in card.faults:
        place = f"faults.{fault.id}"
        if not fault.actions:
            yield Remark(f"{place}.actions", "none: the operator is told no remedy")
        if not table[fault.id]:
            yield Remark(
                f"{place}.description",
                "no signal of the card is recognised in it, and it has no symptoms: this fault can "
                "never be found; add symptoms, name the signals, or run `edge-agent card compile`",
            )
        for signal in fault.order:
            if signal not in table[fault.id]:
                yield Remark(
                    f"{place}.order",
                    f"{signal}: nothing is said of what it does; name it among the symptoms",
                )
        yield from _contradictions(card, fault)


def _contradictions(card: Card, fault: CardFault) -> Iterator[Remark]:
    """Where the text, as a model read it, says the opposite of the formal symptom."""
    formal = table_of(card)[fault.id]
    for signal in fault.symptoms:
        cell = fault.read.get(signal)
        opposite = OPPOSITE.get(formal[signal].direction)
        if opposite is None or not isinstance(cell, dict):
            continue
        if cell.get(opposite, 0.0) > CONTRADICTED:
            yield Remark(
                f"faults.{fault.id}.symptoms.{signal}",
                f"{fault.symptoms[signal]!r}, but the description was read as the opposite; the "
                "symptom counts: correct one of them",
            )


def _twins(card: Card) -> Iterator[Remark]:
    """Faults that no evidence can tell apart."""
    pictures = {
        fault.id: (_picture(table), fault.development)
        for fault, table in ((f, table_of(card)[f.id]) for f in card.faults)
        if table
    }
    for (one, left), (other, right) in combinations(pictures.items(), 2):
        if left == right:
            yield Remark(
                f"faults.{other}",
                f"the same symptoms as {one}: they cannot be told apart; say what differs, even "
                "what stays unchanged, or make them one fault",
            )


def _picture(table: object) -> frozenset[tuple[str, Direction]]:
    assert isinstance(table, dict)  # noqa: S101 - as table_of makes it; tells the type checker
    found: dict[str, Expectation] = table
    return frozenset((signal, one.direction) for signal, one in found.items())
