"""What a table that was read is worth: simulated cases, ranked by it and by the key. Pure.

Each fault of a card is shown in some cases: a symptom of the key shows with probability ``SHOWS``,
another signal strays with ``STRAYS``. The rules rank the faults once with the key (the card's
formal symptoms) and once with what a reader made of the texts.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from edge_agent.diagnose.fault_reading import WORD_DIRECTIONS
from edge_agent.diagnose.rules import rank
from edge_agent.domain.card import Card
from edge_agent.domain.finding import Direction, Finding, IncidentPhase, SignalEvidence, Window
from edge_agent.evaluation.reading import truth_of

CASES = 5
"""Of each fault."""
SHOWS = 0.85
STRAYS = 0.07
SIGMA = (4.0, 20.0)
"""How far a signal moves that moves."""


def fault_found(pairs: Sequence[tuple[Card, Card]]) -> dict[str, float]:
    """Of each pair the card with its key, and the same card as it was read: shares of the cases
    whose fault came first by what was read, by the key, and the one as a share of the other."""
    read = by_key = count = 0
    for card, table in pairs:
        for fault, finding in cases(card):
            count += 1
            read += rank(table, finding).faults[0][0] == fault
            by_key += rank(card, finding).faults[0][0] == fault
    return {
        "cases": float(count),
        "top1": read / max(1, count),
        "top1_by_key": by_key / max(1, count),
        "of_key": read / max(1, by_key),
    }


def cases(card: Card, seed: int = 7) -> list[tuple[str, Finding]]:
    """Findings with the fault that each shows; the same for every reader."""
    rng = random.Random(f"{card.equipment}/{seed}")  # noqa: S311 -- a simulation
    found = []
    for fault in card.faults:
        row = {signal: truth_of(fault, signal) for signal in card.signals}
        for number in range(CASES):
            found.append((fault.id, _finding(card, f"{fault.id}-{number}", row, rng)))
    return found


def _finding(card: Card, incident: str, row: Mapping[str, str], rng: random.Random) -> Finding:
    evidence = [_evidence(f"e{i}", *cell, rng) for i, cell in enumerate(row.items(), 1)]
    return Finding(
        incident_id=incident,
        phase=IncidentPhase.OPENED,
        equipment=card.equipment,
        opened_at=0.0,
        at=60.0,
        score=1.5,
        reason="simulated",
        window=Window(start=0.0, end=60.0),
        evidence=tuple(evidence),
        fingerprint=incident,
    )


def _evidence(number: str, signal: str, word: str, rng: random.Random) -> SignalEvidence:
    way = next((way for known, way in WORD_DIRECTIONS.items() if known == word), Direction.NORMAL)
    shows = rng.random() < SHOWS and way is not Direction.NORMAL
    stray = rng.choice((Direction.UP, Direction.DOWN)) if rng.random() < STRAYS else None
    direction = way if shows else stray or Direction.NORMAL
    size = rng.gauss(0.0, 1.0) if direction is Direction.NORMAL else rng.uniform(*SIGMA)
    sigma = -size if direction is Direction.DOWN else size
    return SignalEvidence(
        id=number, signal=signal, baseline=0.0, now=sigma, sigma=sigma, direction=direction
    )
