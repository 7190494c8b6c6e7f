"""Several sensors of one quantity are one piece of evidence. Pure.

Signals whose card gives them the same ``quantity`` measure the same thing. Where they agree, the
one nearest to their middle stands for all; where one strays alone, the others are believed, and
the stray is the sensor's matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from edge_agent.diagnose.likelihood import NOTABLE, distance
from edge_agent.domain.card import Card
from edge_agent.domain.finding import Direction, SignalEvidence

BROKEN = frozenset({Direction.FROZEN, Direction.MISSING})


def one_of_each(card: Card, evidence: Sequence[SignalEvidence]) -> list[SignalEvidence]:
    """``evidence`` with one signal for each quantity."""
    chosen = {spokesman(group).signal for group in _groups(card, evidence).values()}
    return [one for one in evidence if one.signal in chosen]


def spokesman(group: Sequence[SignalEvidence]) -> SignalEvidence:
    """The signal that speaks for its twins: of those in order the one in the middle, of two that
    disagree the calmer one."""
    sound = [one for one in group if one.direction not in BROKEN] or list(group)
    ranked = sorted(sound, key=distance)
    if len(ranked) == 2:
        return min(ranked, key=lambda one: abs(distance(one)))
    return ranked[len(ranked) // 2]


def only_strays(card: Card, evidence: Sequence[SignalEvidence]) -> bool:
    """Whether something deviates, and all that does is a sensor whose twins show nothing of it."""
    groups = _groups(card, evidence)
    away = [one for one in evidence if one.direction is not Direction.NORMAL]
    return bool(away) and all(_is_calm(groups[_quantity(card, one)]) for one in away)


def _is_calm(group: Sequence[SignalEvidence]) -> bool:
    told = spokesman(group)
    return told.direction is Direction.NORMAL and abs(distance(told)) < NOTABLE


def _groups(card: Card, evidence: Sequence[SignalEvidence]) -> dict[str, list[SignalEvidence]]:
    groups: dict[str, list[SignalEvidence]] = defaultdict(list)
    for one in evidence:
        groups[_quantity(card, one)].append(one)
    return groups


def _quantity(card: Card, one: SignalEvidence) -> str:
    known = card.signals.get(one.signal)
    return f"quantity {known.quantity}" if known is not None and known.quantity else one.signal
