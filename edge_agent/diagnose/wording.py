"""Sentences by code: what is wrong, on which numbers, since when, what else was considered.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from edge_agent.card import Card, CardFault
from edge_agent.diagnose.rules import Ranking
from edge_agent.diagnose.symptoms import table_of
from edge_agent.finding import Direction, Finding, Origin, SignalEvidence

SHOWN = 4
"""Deviations told in a sentence; the table holds them all."""


def label(signal: str) -> str:
    """A signal's name as words."""
    return signal.replace("_", " ")


def clock(at: float) -> str:
    """Time of day, UTC; empty for a time that no calendar holds."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return ""


def deviation(one: SignalEvidence) -> str:
    """One deviation with its numbers and its id."""
    unit = f" {one.unit}" if one.unit else ""
    match one.direction:
        case Direction.UP | Direction.DOWN:
            verb = "rose" if one.direction is Direction.UP else "fell"
            change = f"{verb} from {one.baseline:.4g} to {one.now:.4g}{unit}"
            return f"{label(one.signal)} {change} [{one.id}]"
        case Direction.NOISY:
            return f"{label(one.signal)} fluctuates far more than usual [{one.id}]"
        case Direction.FROZEN:
            return f"{label(one.signal)} stands still at {one.now:.4g}{unit} [{one.id}]"
        case Direction.MISSING:
            return f"{label(one.signal)} stopped coming [{one.id}]"
        case Direction.NORMAL:
            return f"{label(one.signal)} is as usual [{one.id}]"


def deviating(finding: Finding) -> list[SignalEvidence]:
    """The evidence that is not normal, most telling first."""
    return [one for one in finding.evidence if one.direction is not Direction.NORMAL]


def explanation(
    finding: Finding, card: Card | None, ranking: Ranking, best: CardFault | None
) -> str:
    """The whole explanation, composed from evidence and card."""
    parts = [_observed(finding)]
    if best is not None:
        parts.append(f"This fits: {best.title}.")
        parts += _contrast(card, ranking)
    elif card is None:
        parts.append("There is no equipment card for this machine, so no fault can be named.")
    elif not deviating(finding):
        parts.append("No signal stands out by itself, so no fault of the card fits.")
    else:
        parts.append("No fault of the card fits this picture clearly.")
        parts += _contrast(card, ranking)
    return " ".join(parts)


def _observed(finding: Finding) -> str:
    away = deviating(finding)
    if not away:
        return f"{finding.reason[:1].upper()}{finding.reason[1:]}."
    told = "; ".join(deviation(one) for one in away[:SHOWN])
    rest = len(away) - SHOWN
    more = f"; and {rest} more signal{'s' if rest > 1 else ''}" if rest > 0 else ""
    since = min((one.since for one in away if one.since is not None), default=finding.opened_at)
    when = clock(since)
    text = f"Since {when}: {told}{more}." if when else f"{told}{more}."
    if finding.origin is Origin.SENSOR:
        text += " Only the instrument seems to be at fault, not the machine."
    return text[:1].upper() + text[1:]


def _contrast(card: Card | None, ranking: Ranking) -> list[str]:
    """What else was considered, and which signal would tell the first two apart."""
    if card is None or len(ranking.faults) < 2:
        return []
    (first, p1), (second, p2) = ranking.faults[:2]
    titles = {fault.id: fault.title for fault in card.faults}
    if p2 < 0.1 or p1 <= 0:
        return []
    signal = telling(card, first, second)
    hint = f" Look at {label(signal)} to tell them apart." if signal else ""
    if p1 > 2 * p2:
        return [f"Less likely: {titles[second]}.{hint}"]
    return [f"Candidates: {titles[first]}, or {titles[second]}.{hint}"]


def telling(card: Card, first: str, second: str) -> str | None:
    """The signal whose expected direction differs most between two faults, by trust."""
    table = table_of(card)
    best: tuple[float, str] | None = None
    for signal in card.signals:
        one, other = table[first].get(signal), table[second].get(signal)
        ways = (
            one.direction if one else Direction.NORMAL,
            other.direction if other else Direction.NORMAL,
        )
        if ways[0] is ways[1]:
            continue
        weight = (one.trust if one else 0.5) + (other.trust if other else 0.5)
        if best is None or weight > best[0]:
            best = (weight, signal)
    return best[1] if best else None


def titled(card: Card, ids: Sequence[str]) -> list[CardFault]:
    """The faults of these ids, in order."""
    known = {fault.id: fault for fault in card.faults}
    return [known[one] for one in ids if one in known]
