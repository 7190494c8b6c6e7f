"""A shift's summary, composed by code: every number in it is counted. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from edge_agent.diagnose.phrases import Phrases
from edge_agent.domain.card import matches
from edge_agent.domain.finding import Window
from edge_agent.domain.summary import ShiftSummary, SummaryIncident

LISTED = 50
TOLD = 5
ELSEWHERE = "plant"
"""The area of machines that nobody gave one."""


def area_of(equipment: str, areas: Mapping[str, Sequence[str]], cards_area: str) -> str:
    """Where a machine stands: the first area with a pattern that fits, else its card's."""
    for area, patterns in areas.items():
        if any(matches(pattern, equipment) for pattern in patterns):
            return area
    return cards_area or ELSEWHERE


def summed_up(
    area: str,
    window: Window,
    incidents: Sequence[SummaryIncident],
    *,
    machines: int,
    agent_id: str,
    now: float,
    phrases: Phrases,
) -> ShiftSummary:
    """The summary of an area. ``now``: wall clock, Unix seconds."""
    ordered = sorted(incidents, key=lambda one: (one.closed_at is not None, -one.opened_at))
    still_open = sum(one.closed_at is None for one in incidents)
    key = f"{agent_id}\0{area}\0{window.end:.0f}"
    moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    return ShiftSummary(
        message_id=f"summary-{hashlib.sha256(key.encode()).hexdigest()[:20]}",
        agent_id=agent_id,
        created_at=moment.replace("+00:00", "Z"),
        area=area,
        window=window,
        machines=machines,
        count=len(incidents),
        open=still_open,
        incidents=tuple(ordered[:LISTED]),
        more=max(0, len(ordered) - LISTED),
        text=_text(area, window, ordered, still_open, phrases),
        language=phrases.language,
    )


def _text(
    area: str,
    window: Window,
    incidents: Sequence[SummaryIncident],
    still_open: int,
    phrases: Phrases,
) -> str:
    times = {
        "start": _local(window.start),
        "end": _local(window.end),
    }
    if not incidents:
        return phrases.summary_none.format(area=area, **times)
    by_machine = Counter(one.equipment for one in incidents)
    count = len(incidents)
    parts = [phrases.summary_some.format(area=area, count=count, machines=len(by_machine), **times)]
    if still_open:
        parts.append(phrases.summary_open.format(count=still_open))
    [(worst, most)] = by_machine.most_common(1)
    if most > 1 and len(by_machine) > 1:
        parts.append(phrases.summary_most.format(equipment=worst, count=most))
    parts += [f"{one.equipment}: {one.fault or one.reason}." for one in incidents[:TOLD]]
    return " ".join(parts)


def _local(at: float) -> str:
    """Time of day where the gateway stands."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%H:%M")
