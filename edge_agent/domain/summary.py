"""What happened in an area of the plant during a shift."""

from __future__ import annotations

from typing import Literal

from edge_agent.domain.feedback import Verdict
from edge_agent.domain.finding import Record, Window


class SummaryIncident(Record):
    """One incident of the shift."""

    incident_id: str
    equipment: str
    opened_at: float
    """Source time, Unix seconds."""
    closed_at: float | None
    """None while it is open."""
    reason: str
    fault: str | None
    """Title of the fault that was diagnosed; None: undetermined, or not diagnosed yet."""
    probability: float | None
    severity: str | None
    operator: Verdict | None
    """What an operator said of it."""


class ShiftSummary(Record):
    """The incidents of one area since the shift before; receivers deduplicate on ``message_id``."""

    schema_version: Literal[1] = 1
    message_id: str
    agent_id: str
    created_at: str
    """RFC 3339, UTC."""
    area: str
    window: Window
    """The shift, by the gateway's clock."""
    machines: int
    """Of the area, that telemetry came from."""
    count: int
    """Incidents."""
    open: int
    """Of them, still open."""
    incidents: tuple[SummaryIncident, ...]
    """Open ones first, then the newest; bounded."""
    more: int
    """Further ones that are not listed."""
    text: str
    language: str
