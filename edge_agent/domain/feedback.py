"""What an operator says of an incident, and what the diagnosis makes of it. Pure.

A named fault makes that fault of that machine more likely from then on, and a diagnosis names
earlier incidents with the same picture. (Detection hears a picture that was called false or
expected less: ``detect.feedback``.) What was said can be taken back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from edge_agent.domain.finding import Record

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
