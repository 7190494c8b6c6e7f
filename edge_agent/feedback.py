"""What an operator says of an incident, and what follows from it. Pure.

A false or an expected alarm mutes its picture (equipment and signals with direction: the
fingerprint) until it is worse by ``MARGIN`` than the one that was told. A named fault makes that
fault of that machine more likely from then on. Both can be taken back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from edge_agent.finding import Record

MARGIN = 1.25
"""How much stronger than the false alarm the same picture must be to be told again."""
LONGEST_HISTORY = 200
"""The newest words of one machine that are looked at."""
SIMILAR = 3

Verdict = Literal["true", "false_alarm", "expected", "fault"]


class Feedback(Record):
    """An operator's word on one incident; a later one takes the place of an earlier one."""

    incident_id: str
    equipment: str
    fingerprints: tuple[str, ...]
    """The pictures that the incident showed, from its opening on."""
    verdict: Verdict
    """``true``: rightly told; ``fault``: and this is what it was; ``expected``: known, no fault."""
    fault: str | None = None
    """A fault of the card, with ``fault``."""
    note: str = ""
    score: float
    """The incident's strongest."""
    opened_at: float
    """Source time, Unix seconds."""
    given_at: float
    """Wall clock, Unix seconds."""


class SimilarIncident(Record):
    """An earlier incident with the same picture, and what the operator said of it."""

    incident_id: str
    opened_at: float
    verdict: Verdict
    fault: str | None
    note: str


def muted_below(history: Sequence[Feedback], fingerprint: str) -> float:
    """The score from which on an incident with that fingerprint is told; 0: always.

    ``history``: the machine's feedback, newest first. A word that it was true ends the muting by
    older ones.
    """
    bound = 0.0
    for one in history[:LONGEST_HISTORY]:
        if fingerprint not in one.fingerprints:
            continue
        if one.verdict in ("true", "fault"):
            break
        bound = max(bound, MARGIN * one.score)
    return bound


def confirmed(history: Sequence[Feedback]) -> dict[str, int]:
    """Fault → how often an operator named it."""
    return dict(Counter(one.fault for one in history[:LONGEST_HISTORY] if one.fault is not None))


def similar(history: Sequence[Feedback], fingerprint: str) -> tuple[SimilarIncident, ...]:
    """The newest incidents with that fingerprint that an operator spoke of."""
    same = [one for one in history if fingerprint in one.fingerprints]
    return tuple(
        SimilarIncident(
            incident_id=one.incident_id,
            opened_at=one.opened_at,
            verdict=one.verdict,
            fault=one.fault,
            note=one.note,
        )
        for one in same[:SIMILAR]
    )
