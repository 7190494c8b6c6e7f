"""Sentences by code: what is wrong, on which numbers, since when, what else was considered.

Pure.
"""

from __future__ import annotations

from datetime import UTC, datetime

from edge_agent.diagnose.phrases import ENGLISH, Phrases
from edge_agent.diagnose.rules import Ranking
from edge_agent.diagnose.symptoms import table_of
from edge_agent.domain.card import Card, CardFault
from edge_agent.domain.finding import Direction, Finding, Origin, SignalEvidence

SHOWN = 4
"""Deviations told in a sentence; the table holds them all."""
WORTH_NAMING = 0.1
"""A fault less probable than this is not named beside the one that is published."""
POSSIBLE = 0.05
"""Nor as a candidate where none is."""
NOTICEABLE_SIGMA = 1.5
"""A check-up names the signal furthest from its baseline where it is at least this far."""


def label(signal: str, card: Card | None = None) -> str:
    """A signal's name as words: the card's label, or the name itself."""
    known = card.signals.get(signal) if card else None
    return (known.label if known else "") or signal.replace("_", " ")


def clock(at: float) -> str:
    """Time of day, UTC; empty for a time that no calendar holds."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return ""


def deviation(one: SignalEvidence, card: Card | None = None, phrases: Phrases = ENGLISH) -> str:
    """One deviation with its numbers and its id."""
    template = {
        Direction.UP: phrases.rose,
        Direction.DOWN: phrases.fell,
        Direction.NOISY: phrases.noisy,
        Direction.FROZEN: phrases.frozen,
        Direction.MISSING: phrases.missing,
        Direction.NORMAL: phrases.calm,
    }[one.direction]
    return template.format(
        signal=label(one.signal, card),
        baseline=phrases.number(one.baseline),
        now=phrases.number(one.now),
        unit=f" {one.unit}" if one.unit else "",
        id=one.id,
    )


def deviating(finding: Finding) -> list[SignalEvidence]:
    """The evidence that is not normal, most telling first."""
    return [one for one in finding.evidence if one.direction is not Direction.NORMAL]


def explanation(
    finding: Finding,
    card: Card | None,
    ranking: Ranking,
    best: CardFault | None,
    phrases: Phrases = ENGLISH,
) -> str:
    """The whole explanation, composed from evidence and card."""
    parts = [_observed(finding, card, phrases)]
    if best is not None:
        parts.append(phrases.fits.format(title=best.title))
        parts += _besides(card, ranking, phrases)
    elif card is None:
        parts.append(phrases.no_card)
    elif not deviating(finding):
        parts.append(phrases.nothing_alone)
    else:
        parts.append(phrases.unclear)
        parts += _candidates(card, ranking, phrases)
    return " ".join(parts)


def checked_up(
    finding: Finding, card: Card | None, ranking: Ranking, best: CardFault | None, phrases: Phrases
) -> str:
    """The same for a machine that has no incident: nothing deviates, or what drifts."""
    if deviating(finding):
        return phrases.checkup_drifts.format(
            told=explanation(finding, card, ranking, best, phrases)
        )
    text = phrases.checkup_quiet.format(count=len(finding.evidence))
    furthest = max(finding.evidence, key=lambda one: abs(one.sigma), default=None)
    if furthest is None or abs(furthest.sigma) < NOTICEABLE_SIGMA:
        return text
    sigma = f"{furthest.sigma:+.1f}".replace(".", phrases.decimal)
    name = label(furthest.signal, card)
    return f"{text} {phrases.furthest.format(signal=name, sigma=sigma, id=furthest.id)}"


def _observed(finding: Finding, card: Card | None, phrases: Phrases) -> str:
    away = deviating(finding)
    if not away:
        reason = phrases.reasons.get(finding.reason, finding.reason)
        return f"{reason[:1].upper()}{reason[1:]}."
    told = [deviation(one, card, phrases) for one in away[:SHOWN]]
    rest = len(away) - SHOWN
    if rest > 0:
        told.append(phrases.one_more if rest == 1 else phrases.more.format(count=rest))
    listed = "; ".join(told)
    when = clock(
        min((one.since for one in away if one.since is not None), default=finding.opened_at)
    )
    text = phrases.since.format(when=when, told=listed) if when else f"{listed}."
    if finding.origin is Origin.SENSOR:
        text += f" {phrases.sensor}"
    return text[:1].upper() + text[1:]


def _besides(card: Card | None, ranking: Ranking, phrases: Phrases) -> list[str]:
    """What else was considered beside the fault that is named."""
    if card is None or len(ranking.faults) < 2:
        return []
    (first, p1), (second, p2) = ranking.faults[:2]
    if p2 < WORTH_NAMING or p1 <= 0:
        return []
    if p1 <= 2 * p2:
        return _candidates(card, ranking, phrases)
    title = _title(card, second)
    return [phrases.less_likely.format(title=title), *_hint(card, first, second, phrases)]


def _candidates(card: Card, ranking: Ranking, phrases: Phrases) -> list[str]:
    """The first two, and which signal would tell them apart."""
    listed = [fault for fault, p in ranking.faults[:2] if p >= POSSIBLE]
    if len(listed) < 2:
        return []
    first, second = listed
    told = phrases.candidates.format(first=_title(card, first), second=_title(card, second))
    return [told, *_hint(card, first, second, phrases)]


def _hint(card: Card, first: str, second: str, phrases: Phrases) -> list[str]:
    signal = telling(card, first, second)
    return [phrases.look_at.format(signal=label(signal, card))] if signal else []


def _title(card: Card, fault_id: str) -> str:
    return next(fault.title for fault in card.faults if fault.id == fault_id)


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
