"""Numbers, units and times in a model's sentence, against the evidence. Pure.

A number belongs to the signal that was named last before it, or else to the first after it. It must
be that signal's baseline, its value now or, said as such, the difference or the distance in σ, to
the digits that are written. A time of day must be one at which something began, a stretch of time
one since when a signal deviates.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from edge_agent.diagnose.lexicon import Lexicon
from edge_agent.domain.card import Card
from edge_agent.domain.finding import Finding, SignalEvidence

Placed = Sequence[tuple[int, SignalEvidence]]
"""Where in the sentence which signal is spoken of, in order."""

_CITATION = re.compile(r"\be\d+\b")
_NUMBER = re.compile(r"(?<![^\W_])(?<![\d.,])[-+−]?\d+(?:[.,]\d+)*")
_CLOCK = re.compile(r"(?<!\d)(\d{1,2}):(\d{2})(?::(\d{2}))?(?![\d:])(\s*[ap]\.?m\b)?")
_AFTER = re.compile(r"\s*([^\s,;()\[\]]+)")
_BEFORE = re.compile(r"(\w+)\s*$")
_SIGMA = frozenset(("σ", "sigma", "standard", "standardabweichungen"))
_UNITS_TEXT = """
    bar mbar kpa mpa pa psi °c k °f mm/s m/s a ma v kv w kw hz khz rpm 1/min % l/min m3/h m³/h kg/h
    t/h mm µm um m g n nm
"""
_UNITS = frozenset(_UNITS_TEXT.split())
"""Units that are read as such even where neither card nor evidence has them."""


def figures_hold(
    plain: str, mentions: Placed, finding: Finding, card: Card | None, lexicon: Lexicon
) -> bool:
    """Whether every number, unit and time of a sentence (in lower case) is true."""
    text = _CITATION.sub(lambda match: " " * len(match.group()), plain)
    for match in _CLOCK.finditer(text):
        if match[4] or not _begun(match, mentions, finding):
            return False
    text = _CLOCK.sub(lambda match: " " * len(match.group()), text)
    units = _UNITS | {one.unit.lower() for one in finding.evidence if one.unit}
    units |= {signal.unit.lower() for signal in card.signals.values()} if card else set()
    units -= {""}
    return all(
        _holds(match, text, mentions, finding, (lexicon, frozenset(units)))
        for match in _NUMBER.finditer(text)
    )


def _begun(match: re.Match[str], mentions: Placed, finding: Finding) -> bool:
    """Whether a time of day, UTC, is when a signal spoken of left its normal, or the incident
    opened; to the digits that are written."""
    written = f"{int(match[1]):02d}:{match[2]}" + (f":{match[3]}" if match[3] else "")
    times = [finding.opened_at, *(one.since for _, one in mentions if one.since is not None)]
    return any(_clock(at).startswith(written) for at in times)


def _clock(at: float) -> str:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=max(-6e10, min(at, 2.5e11)))
    return moment.strftime("%H:%M:%S")


def _holds(
    match: re.Match[str],
    text: str,
    mentions: Placed,
    finding: Finding,
    language: tuple[Lexicon, frozenset[str]],
) -> bool:
    lexicon, units = language
    one = _owner(match.start(), mentions)
    number = _parsed(match.group(), lexicon.decimal)
    if one is None or number is None:
        return False
    value, slack = number
    following = _AFTER.match(text, match.end())
    after = following[1].rstrip(".!?") if following else ""
    before = _BEFORE.search(text[: match.start()])
    word = before[1] if before else ""
    if after in _SIGMA:
        return abs(abs(value) - abs(one.sigma)) <= slack
    if after in lexicon.durations and after != one.unit.lower():
        unit_s = lexicon.durations[after]
        lasted = None if one.since is None else finding.at - one.since
        return lasted is not None and abs(value * unit_s - lasted) <= slack * unit_s
    if after in units and after != one.unit.lower():
        return False
    return any(abs(value - known) <= slack for known in _meant(word, one, lexicon))


def _meant(word: str, one: SignalEvidence, lexicon: Lexicon) -> tuple[float, ...]:
    """The numbers of a signal that a number after ``word`` may be."""
    if word in lexicon.change:
        change = one.now - one.baseline
        return (change, abs(change))
    if word in lexicon.baseline:
        return (one.baseline,)
    if word in lexicon.now:
        return (one.now,)
    return (one.baseline, one.now)


def _owner(at: int, mentions: Placed) -> SignalEvidence | None:
    """The signal that a number at ``at`` belongs to."""
    before = [one for place, one in mentions if place < at]
    return before[-1] if before else (mentions[0][1] if mentions else None)


def _parsed(text: str, decimal: str) -> tuple[float, float] | None:
    """A number as the language writes it, and half a unit of its last written digit; None for what
    is no number there, such as 1.234 in German unless it means 1234."""
    plain = text.replace("−", "-")
    group = "." if decimal == "," else ","
    whole, _, fraction = plain.partition(decimal)
    groups = whole.lstrip("+-").split(group)
    if len(groups) > 1 and (len(groups[0]) > 3 or any(len(part) != 3 for part in groups[1:])):
        return None
    if not fraction.isdigit() and fraction:
        return None
    value = float(whole.replace(group, "") + (f".{fraction}" if fraction else ""))
    return value, 0.5 * 10.0 ** -len(fraction) + 1e-9
