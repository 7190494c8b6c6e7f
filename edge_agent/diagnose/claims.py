"""Which sentences of a model the evidence bears out. Pure.

A sentence stands only if it makes a claim that can be checked, every claim in it is true, and it
brings in no subject of its own: each content word must come from the card, the evidence or a short
list of connecting words. What code cannot check is not published. Directions are checked clause by
clause; numbers, units and times are in ``figures``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_agent.diagnose.figures import figures_hold
from edge_agent.diagnose.lexicon import ENGLISH, Lexicon
from edge_agent.diagnose.wording import label
from edge_agent.domain.card import Card, CardFault
from edge_agent.domain.finding import Direction, Finding, SignalEvidence

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_CITATION = re.compile(r"\be(\d+)\b")
_WORD = re.compile(r"[^\W\d_]{3,}")

CONNECTING = ENGLISH.connecting


@dataclass(frozen=True, slots=True)
class Mention:
    """Where a sentence speaks of a signal, by name or by id."""

    at: int
    one: SignalEvidence


def verified(
    text: str,
    finding: Finding,
    card: Card,
    fault: CardFault | None = None,
    lexicon: Lexicon = ENGLISH,
) -> str:
    """The sentences of ``text`` that stand, in order. ``fault``: the one that they explain; words
    that only other faults' texts use are then none of its business."""
    vocabulary = words_of(_known_texts(finding, card, fault)) | lexicon.connecting
    kept = (one for one in sentences(text) if holds(one, finding, vocabulary, lexicon, card))
    return " ".join(kept)


def sentences(text: str) -> list[str]:
    """The sentences of ``text``."""
    return [one for one in _SENTENCE.split(text) if one]


def holds(
    sentence: str,
    finding: Finding,
    vocabulary: frozenset[str],
    lexicon: Lexicon = ENGLISH,
    card: Card | None = None,
) -> bool:
    """Whether one sentence stands."""
    plain = sentence.lower().replace("_", " ")
    if not sentence.rstrip().endswith((".", "!", "?")) or not words_of([plain]) <= vocabulary:
        return False
    if lexicon.negation.search(plain):
        return False
    cited = {f"e{number}" for number in _CITATION.findall(plain)}
    if not cited <= {one.id for one in finding.evidence}:
        return False
    mentions = mentioned(plain, finding, card)
    claims = claimed(plain, mentions, lexicon)
    return (
        bool(claims)
        and all(mention.one.direction is way for mention, way in claims)
        and {mention.one.id for mention, _ in claims} == {mention.one.id for mention in mentions}
        and _shapes_hold(plain, mentions, lexicon)
        and _order_holds(plain, mentions, lexicon)
        and figures_hold(plain, [(one.at, one.one) for one in mentions], finding, card, lexicon)
    )


def contradicted(
    sentence: str, finding: Finding, card: Card | None = None, lexicon: Lexicon = ENGLISH
) -> bool:
    """Whether a sentence of the card says of a signal what the evidence does not show."""
    plain = sentence.lower().replace("_", " ")
    if lexicon.negation.search(plain):
        return False  # what it denies cannot be read; it is the engineer's word
    found = claimed(plain, mentioned(plain, finding, card), lexicon)
    return any(mention.one.direction is not way for mention, way in found)


def words_of(texts: Iterable[str]) -> frozenset[str]:
    """The content words of some texts."""
    return frozenset(word for text in texts for word in _WORD.findall(text.lower()))


def _known_texts(finding: Finding, card: Card, fault: CardFault | None = None) -> Iterable[str]:
    yield card.title
    yield card.description
    for name, signal in card.signals.items():
        yield f"{label(name)} {label(name, card)} {signal.meaning} {signal.unit}"
    for known in card.faults if fault is None else (fault,):
        yield f"{known.title} {known.description} {label(known.id)}"
    for one in finding.evidence:
        yield f"{label(one.signal)} {one.unit}"


def mentioned(plain: str, finding: Finding, card: Card | None) -> list[Mention]:
    """Every mention in order of place. A name inside a longer one is not meant."""
    names = [(name, one) for one in finding.evidence for name in _names(one.signal, card)]
    free = plain
    found: list[Mention] = []
    for name, one in sorted(names, key=lambda pair: -len(pair[0])):
        pattern = re.compile(rf"\b{re.escape(name)}\b")
        found += [Mention(match.start(), one) for match in pattern.finditer(free)]
        free = pattern.sub(lambda match: " " * len(match.group()), free)
    known = {one.id: one for one in finding.evidence}
    found += [
        Mention(match.start(), known[match.group()])
        for match in _CITATION.finditer(plain)
        if match.group() in known
    ]
    return sorted(found, key=lambda mention: mention.at)


def _names(signal: str, card: Card | None) -> set[str]:
    return {text.lower() for text in (label(signal), label(signal, card))}


def claimed(
    plain: str, mentions: Sequence[Mention], lexicon: Lexicon
) -> list[tuple[Mention, Direction]]:
    """Mention and direction, paired clause by clause: a clause without a direction takes that of
    the next clause that has one, or of the last; one without a signal speaks of the last one."""
    cuts = [match.start() for match in lexicon.clause.finditer(plain)]

    def clause(at: int) -> int:
        return sum(cut < at for cut in cuts)

    ways: dict[int, set[Direction]] = {}
    for pattern, way in lexicon.directions:
        for match in pattern.finditer(plain):
            ways.setdefault(clause(match.start()), set()).add(way)
    spoken: dict[int, list[Mention]] = {}
    for mention in mentions:
        spoken.setdefault(clause(mention.at), []).append(mention)
    pairs: list[tuple[Mention, Direction]] = []
    for number, some in spoken.items():
        nearest = next((n for n in sorted(ways) if n >= number), max(ways, default=None))
        if nearest is not None:
            pairs += [(mention, way) for mention in some for way in ways[nearest]]
    for number in ways.keys() - spoken.keys():
        before = [n for n in spoken if n < number] or [n for n in spoken if n > number]
        if before:
            nearest = max(before) if max(before) < number else min(before)
            pairs += [(mention, way) for mention in spoken[nearest] for way in ways[number]]
    return pairs


def _shapes_hold(plain: str, mentions: Sequence[Mention], lexicon: Lexicon) -> bool:
    """Sudden and slow are claims as well."""
    return all(
        mention.one.shape is shape
        for pattern, shape in lexicon.shapes
        if pattern.search(plain)
        for mention in mentions
    )


def _order_holds(plain: str, mentions: Sequence[Mention], lexicon: Lexicon) -> bool:
    """What is said to have come first came first."""
    for pattern, ahead in ((lexicon.earlier, True), (lexicon.later, False)):
        for match in pattern.finditer(plain):
            left = [one.one.since for one in mentions if one.at < match.start()]
            right = [one.one.since for one in mentions if one.at > match.start()]
            first, second = (left, right) if ahead else (right, left)
            begun = [at for at in first if at is not None], [at for at in second if at is not None]
            if (len(begun[0]), len(begun[1])) != (len(first), len(second)):
                return False
            if first and second and max(begun[0]) > min(begun[1]):
                return False
    return True
