"""Which sentences of a model the evidence bears out. Pure.

A sentence stands only if it makes a claim that can be checked, every claim in it is true, and it
brings in no subject of its own: each content word must come from the card, the evidence or a short
list of connecting words. What code cannot check is not published.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from edge_agent.card import Card
from edge_agent.diagnose.wording import label
from edge_agent.finding import Direction, Finding, SignalEvidence

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_NUMBER = re.compile(r"(?<![A-Za-z_\d.])[-+]?\d+(?:[.,]\d+)?")
_CITATION = re.compile(r"\be(\d+)\b")
_WORD = re.compile(r"[a-z]{4,}")
_UP = re.compile(r"\b(?:ris\w*|rose|increas\w*|higher|climb\w*|above|elevated|grew|grow\w*)\b")
_DOWN = re.compile(r"\b(?:fall\w*|fell|drop\w*|decreas\w*|lower\w*|declin\w*|below|reduc\w*)\b")
_CALM = re.compile(r"\b(?:unchanged|stay\w*|remain\w*|stable|as usual|normal\w*)\b")

_CONNECTING_TEXT = """
    about above after also although another because been before being below between both
    cause caused causes causing clear clearly consistent could decrease decreased decreases
    decreasing deviation during each evidence fall fallen falling falls fault fell fits from
    further have high higher increase increased increases increasing indicate indicated
    indicates indicating into lead leading leads less like likely lower lowered machine more
    most normal normally observed only other points reduced reduces remain remained remains
    rise risen rises rising rose same seen should show showed showing shown shows since
    slightly small some stay stayed stays strong strongly such suggest suggests than that
    their them then there these they this those through together typical unchanged usual
    usually value values very well were what when where which while will with within without
    would
"""

CONNECTING = frozenset(_CONNECTING_TEXT.split())
"""Words that a true sentence needs and that bring in nothing new."""


def verified(text: str, finding: Finding, card: Card) -> str:
    """The sentences of ``text`` that stand, in order."""
    vocabulary = words_of(_known_texts(finding, card)) | CONNECTING
    return " ".join(one for one in sentences(text) if holds(one, finding, vocabulary))


def sentences(text: str) -> list[str]:
    """The sentences of ``text``."""
    return [one for one in _SENTENCE.split(text) if one]


def holds(sentence: str, finding: Finding, vocabulary: frozenset[str]) -> bool:
    """Whether one sentence stands."""
    plain = sentence.lower().replace("_", " ")
    if not sentence.rstrip().endswith((".", "!", "?")) or not words_of([plain]) <= vocabulary:
        return False
    known = {one.id: one for one in finding.evidence}
    cited = {f"e{number}" for number in _CITATION.findall(plain)}
    if not cited <= known.keys():
        return False
    named = {one.id: one for one in finding.evidence if _names(plain, one.signal)}
    about = {**named, **{one: known[one] for one in cited}}
    return bool(about) and _directions_hold(plain, about) and _numbers_hold(plain, about)


def words_of(texts: Iterable[str]) -> frozenset[str]:
    """The content words of some texts, as rough stems."""
    return frozenset(word for text in texts for word in _WORD.findall(text.lower()))


def _known_texts(finding: Finding, card: Card) -> Iterable[str]:
    yield card.title
    yield card.description
    for name, signal in card.signals.items():
        yield f"{label(name)} {signal.meaning} {signal.unit}"
    for fault in card.faults:
        yield f"{fault.title} {fault.description} {label(fault.id)}"
    for one in finding.evidence:
        yield f"{label(one.signal)} {one.unit}"


def _names(plain: str, signal: str) -> bool:
    return re.search(rf"\b{re.escape(label(signal).lower())}\b", plain) is not None


def _directions_hold(plain: str, about: Mapping[str, SignalEvidence]) -> bool:
    """A claim of direction must be there, and be true of every signal that is spoken of."""
    claims = ((_UP, Direction.UP), (_DOWN, Direction.DOWN), (_CALM, Direction.NORMAL))
    claimed = {way for pattern, way in claims if pattern.search(plain)}
    return bool(claimed) and {one.direction for one in about.values()} == claimed


def _numbers_hold(plain: str, about: Mapping[str, SignalEvidence]) -> bool:
    """Every number is one of the evidence's, to the digits that are written."""
    given = [abs(number) for one in about.values() for number in (one.baseline, one.now, one.sigma)]
    return all(
        any(abs(value - number) <= slack for number in given)
        for value, slack in map(_parsed, _NUMBER.findall(_CITATION.sub("", plain)))
    )


def _parsed(text: str) -> tuple[float, float]:
    """A number's size, and half a unit of its last written digit."""
    decimals = len(text.replace(",", ".").partition(".")[2])
    return abs(float(text.replace(",", "."))), 0.5 * 10.0**-decimals + 1e-9
