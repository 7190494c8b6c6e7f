"""The result an operator reads: which fault, how sure, on what evidence, what to do."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from edge_agent.domain.completion import ModelIdentity
from edge_agent.domain.feedback import SimilarIncident
from edge_agent.domain.finding import Record, SignalEvidence, Window
from edge_agent.domain.level import Level

Probability = Annotated[float, Field(ge=0, le=1)]


class Severity(StrEnum):
    """How urgent a fault is; taken from the equipment card, never from a model."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def priority(self) -> int:
        """Order in queues: lower goes first."""
        return {"critical": 0, "warning": 1, "info": 2}[self.value]


class RankedFault(Record):
    """A fault of the equipment card with its probability."""

    id: str
    title: str
    probability: Probability


class ManualPassage(Record):
    """A passage of a manual that belongs to the fault, quoted as it stands there."""

    source: str
    """Document, below ``diagnose.manuals``, or what the card names."""
    section: str = ""
    """Heading that it stands under."""
    text: str


Trigger = Literal["incident", "demand", "checkup"]
"""Why a diagnosis was made: a machine left its normal, someone asked, or it was due."""


class Cost(Record):
    """What this diagnosis took."""

    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    joules: float = 0.0
    joules_measured_or_estimated: Literal["measured", "estimated"] = "estimated"


class Diagnosis(Record):
    """The published result; receivers deduplicate on ``diagnosis_id``."""

    schema_version: Literal[1] = 1
    diagnosis_id: str
    """Deterministic from the job: the same on every attempt."""
    incident_id: str
    agent_id: str
    equipment: str
    simulated: bool = False
    """True where the telemetry came from the built-in simulator."""
    created_at: str
    """RFC 3339, UTC."""
    clock_trusted: bool
    window: Window
    trigger: Trigger = "incident"
    question: str | None = None
    """What was asked, for a diagnosis on demand."""
    verdict: Literal["diagnosed", "undetermined"]
    fault: RankedFault | None
    """The most probable fault; None when undetermined."""
    alternatives: tuple[RankedFault, ...] = ()
    severity: Severity
    explanation: str
    language: str = "en"
    """Of the sentences that code and model wrote; a card may be in another."""
    look_at: tuple[str, ...] = ()
    """Signals that would tell the likeliest faults apart, where none is named."""
    manual_passages: tuple[ManualPassage, ...] = ()
    """What manuals say of the fault; quoted, not checked."""
    evidence: tuple[SignalEvidence, ...]
    recommended_actions: tuple[str, ...] = ()
    similar_incidents: tuple[SimilarIncident, ...] = ()
    """Earlier incidents of this machine with the same picture, and what operators said of them."""
    source: Literal["model", "rules"]
    source_reason: str = ""
    """Why the rules answered alone, where they did."""
    model: ModelIdentity | None = None
    cost: Cost = Cost()
    governor_level: Level
