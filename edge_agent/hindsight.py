"""A stretch of time gone by, judged by what is normal for the machine now. Pure.

The machine's detection is copied, its baseline held, and the rows of the stretch are shown to it as
though they came next: the evidence then means what it means in an incident.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge_agent.config.detect import DetectSection
from edge_agent.detect.detection import Detection
from edge_agent.domain.card import Card
from edge_agent.domain.finding import Finding, SignalEvidence, Window
from edge_agent.domain.telemetry import Reading
from edge_agent.recent import Row

LEAST_ROWS = 30
"""Fewer rows leave the averages where they were before."""
GAP_S = 1.0


def look_back(
    rows: Sequence[Row],
    now: Finding,
    snapshot: bytes,
    settings: DetectSection,
    card_for: Callable[[str], Card | None],
) -> Finding | None:
    """The evidence at the end of ``rows``; ``now`` and ``snapshot``: the machine as it stands. None
    where the snapshot cannot be used."""
    equipment = now.equipment
    copy = Detection(settings, card_for, "hindsight")
    copy.restore({equipment: snapshot})
    if not copy.freeze(equipment, on=True):
        return None
    shift = now.at + GAP_S + settings.row_s - rows[0][0]
    for at, values in rows:
        copy.observe([Reading(equipment, name, one, at + shift) for name, one in values.items()])
    copy.flush()
    found = copy.current(equipment)
    if found is None:
        return None
    window = Window(start=rows[0][0], end=rows[-1][0])
    return found.model_copy(
        update={
            "incident_id": now.incident_id,
            "opened_at": window.start,
            "at": window.end,
            "closed_at": None,
            "window": window,
            "evidence": tuple(_back(one, shift, window) for one in found.evidence),
            "sequence": 0,
        }
    )


def _back(one: SignalEvidence, shift: float, window: Window) -> SignalEvidence:
    """Evidence in the time of the window; what deviated before it does so from its start."""
    if one.since is None:
        return one
    return one.model_copy(update={"since": max(window.start, one.since - shift)})
