"""What detection found: an incident with the numbers that show it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Direction(StrEnum):
    """How a signal left its baseline."""

    UP = "up"
    DOWN = "down"
    NOISY = "noisy"
    """Its spread grew; its mean did not move."""
    FROZEN = "frozen"
    """It stopped changing."""
    MISSING = "missing"
    """It stopped coming."""
    NORMAL = "normal"
    """It stayed at its baseline, which is evidence as well."""


class Shape(StrEnum):
    """How a deviation developed over time."""

    STEP = "step"
    RAMP = "ramp"
    OSCILLATION = "oscillation"
    SPIKE = "spike"
    FLAT = "flat"
    UNKNOWN = "unknown"


class IncidentPhase(StrEnum):
    """Where an incident stands."""

    OPENED = "opened"
    UPDATED = "updated"
    CLOSED = "closed"


class Origin(StrEnum):
    """What kind of wrong it is: the machine, or the instrument that reports on it."""

    MACHINE = "machine"
    SENSOR = "sensor"


class Record(BaseModel):
    """A value that is stored or published: frozen, and strict about unknown fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_inf_nan="null", use_attribute_docstrings=True
    )


class SignalEvidence(Record):
    """One signal during an incident, against its own baseline. All numbers are computed."""

    id: str
    """Short and stable within the finding (``e1``, ``e2`` …), most telling first."""
    signal: str
    unit: str = ""
    baseline: float
    now: float
    sigma: float
    """Signed distance from the baseline in robust standard deviations of normal operation."""
    direction: Direction
    shape: Shape = Shape.UNKNOWN
    since: float | None = None
    """Source time of the first deviation, Unix seconds; None while normal."""
    noise: float | None = None
    """Standard deviation that ``sigma`` has while all is well: a mean of many rows scatters less
    than a row does. None where the finder does not know; 1 is assumed."""
    period_s: float | None = None
    """Period of a swing around the mean, seconds; None where it is none."""


class Window(Record):
    """A stretch of source time, Unix seconds, both ends included."""

    start: float
    end: float


class Finding(Record):
    """An incident as it stands now: the deterministic part of every result."""

    incident_id: str
    phase: IncidentPhase
    equipment: str
    opened_at: float
    """Source time, Unix seconds."""
    at: float
    """Source time of this state of the incident."""
    closed_at: float | None = None
    score: Annotated[float, Field(ge=0)]
    """Detector score; 1.0 is the threshold that opens an incident."""
    origin: Origin = Origin.MACHINE
    reason: str
    """One sentence for a person."""
    operating_state: str = "running"
    window: Window
    evidence: tuple[SignalEvidence, ...]
    """Deviating signals first, then those that stayed normal; bounded by the detector."""
    fingerprint: str
    """Equipment, signals and directions: equal for repeats of the same picture."""
    sequence: int = 0
    """Counts the findings of one incident, from 0 at its opening."""
    reopened: int = 0
    """Times that it came back shortly after it had closed: it flaps."""
    escalated: int = 0
    """Times that its score doubled since it opened."""
    clock_trusted: bool = True
