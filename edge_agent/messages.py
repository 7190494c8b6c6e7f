"""Every topic that the agent publishes or listens to, with the shape of its messages.

The documentation (``docs/topics.md``, ``docs/schemas``, ``docs/asyncapi.yaml``) is written from
this table, and the tests compare it with what a running daemon says.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from edge_agent.config.section import Section
from edge_agent.config.settings import Settings
from edge_agent.decode.decoder import DecodeCounts
from edge_agent.detect.machine import EquipmentStatus
from edge_agent.domain.diagnosis import Diagnosis
from edge_agent.domain.finding import Finding
from edge_agent.domain.level import GovernorStatus
from edge_agent.domain.summary import ShiftSummary
from edge_agent.domain.telemetry import Message
from edge_agent.inference.client import WorkerStatus
from edge_agent.mqtt.broker import BrokerStatus
from edge_agent.operations import Operations
from edge_agent.publish.publisher import PublisherStatus
from edge_agent.rollout.commands import CommandAnswer, CommandRequest, Commands
from edge_agent.rollout.decide import RolloutState
from edge_agent.rollout.document import Desired
from edge_agent.rollout.model_document import DesiredModel
from edge_agent.store.outbox import OutboxCounts

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class ModelState(Section):
    """The model, at birth."""

    name: str
    state: str
    reason: str
    """Why no model answers; empty while one does."""


class Status(Section):
    """Birth, last will and farewell. A late will of an earlier run has another ``session_id``."""

    schema_version: Literal[1]
    state: Literal["online", "offline"]
    session_id: str
    """New with each start of the agent."""
    version: str | None = None
    started_at: str | None = None
    """RFC 3339, UTC."""
    model: ModelState | None = None


class Incident(Finding):
    """The computed part of an incident, before any model runs."""

    schema_version: Literal[1]
    message_id: str
    """The same on every attempt: receivers deduplicate on it."""
    agent_id: str
    created_at: str
    """RFC 3339, UTC."""
    simulated: bool
    """True where the telemetry came from the built-in simulator."""


class AgentFacts(Section):
    """Who reports."""

    id: str
    version: str
    session_id: str
    uptime_s: float
    clock_trusted: bool
    revision: int | None
    """Of the settings from afar that were last looked at."""


class IntakeFacts(Section):
    """Telemetry in, since the start."""

    messages: int
    readings: int
    refused: int
    """Messages that could not be read."""
    waiting: int
    shed: int
    """Messages dropped for room."""
    shed_by: dict[str, int]
    """Whose they were: the machines that lost most, and how many messages each."""


@dataclass(slots=True)
class DecodingFacts(DecodeCounts):
    """What the decoder knows and left out."""

    machines: int = 0
    signals: int = 0
    over_equipment: int = 0
    over_signals: int = 0
    unread_metrics: int = 0
    """Sparkplug metrics that are templates or data sets."""
    unborn: int = 0
    """Sparkplug messages and metrics whose birth was not heard."""
    gaps: int = 0
    """Sparkplug messages that were waited for in vain."""
    skew_s: dict[str, float] | None = None
    """Seconds that a machine's newest reading lay behind its arrival; the furthest."""


class StoreFacts(Section):
    """What waits in the one SQLite file."""

    jobs: dict[str, int]
    outbox: OutboxCounts
    mb: float
    alarms: tuple[str, ...]
    lives_broken_off: int
    """Ends without a shutdown in a row."""


class DiagnosisCount(Section):
    """Diagnoses of one kind since the start."""

    source: str
    verdict: str
    count: int


class ResultFacts(Section):
    """What was found and diagnosed since the start."""

    incidents: dict[str, int]
    """Findings by phase."""
    diagnoses: tuple[DiagnosisCount, ...]
    tokens_in: int
    tokens_out: int
    seconds: float
    joules: float
    last: tuple[dict[str, Any], ...]
    """The last diagnoses without evidence and texts, oldest first."""


class SectionUnavailable(Section):
    """A part that cannot answer now, and why."""

    unavailable: str


class HealthReport(Section):
    """How the agent is: also the answer of ``cmd/status`` and of ``edge-agent status``."""

    agent: AgentFacts
    loops: dict[str, float]
    """Seconds since each loop's last sign of life."""
    mqtt: BrokerStatus
    intake: IntakeFacts
    decoding: DecodingFacts
    equipment: dict[str, EquipmentStatus]
    store: StoreFacts | SectionUnavailable
    publisher: PublisherStatus
    governor: GovernorStatus
    worker: WorkerStatus
    results: ResultFacts


class Health(HealthReport):
    """How the agent is, every ``health.interval_s``."""

    schema_version: Literal[1]
    at: str
    """RFC 3339, UTC."""


class RefusedDocument(Section):
    """A desired document that was refused while another one was under way."""

    revision: int | None
    state: str
    reason: str


class Effective(Section):
    """The settings that run."""

    revision: int | None
    """None: the local file alone."""
    signed_by: str | None
    trusted_keys: tuple[str, ...] | None
    """Names of the keys that may sign; None where signatures are not checked."""
    hash: str
    settings: dict[str, Any]
    """With all defaults; secrets are shown as ``(set)``."""


class ConfigReported(Section):
    """What became of the settings from afar."""

    schema_version: Literal[1]
    agent_id: str
    revision: int | None
    document: str | None
    """SHA-256 of the latest document's body."""
    state: RolloutState
    result: Literal["none", "pending", "ok", "refused", "undone"]
    reason: str
    final: bool
    """False while something is under way or will be tried again."""
    failures: int
    highest_revision: int
    waiting_revision: int | None
    restorable: tuple[int, ...]
    refused: dict[str, Any] | None
    secured: bool
    effective: Effective
    restart_pending: tuple[str, ...]
    restart_keys: tuple[str, ...]
    local_keys: tuple[str, ...]
    settings_schema_sha256: str
    warnings: tuple[str, ...]


class NamedModel(Section):
    """A model file."""

    name: str
    sha256: str


class Progress(Section):
    """How much of the file is there, bytes."""

    bytes: int
    of: int


class ModelReported(Section):
    """What became of the model from afar."""

    schema_version: Literal[1]
    agent_id: str
    revision: int | None
    document: str | None
    state: str
    reason: str
    failures: int
    highest_revision: int
    waiting_revision: int | None
    refused: dict[str, Any] | None
    desired: NamedModel | None
    progress: Progress | None
    canary: Any
    """What the trial measured."""
    in_use: NamedModel | None
    """None: the model that the settings name."""
    previous: str | None


class DeadLetter(Section):
    """A message that could not be read. Their rate is limited."""

    schema_version: Literal[1]
    at: str
    topic: str
    reason: str
    payload_bytes: int
    payload_start: str
    """Its first bytes as printable ASCII, others as ``\\xNN``."""
    suppressed: int
    """How many went without a note since the last one."""


class MachineState(Section):
    """How a machine is, retained, where ``observe.home_assistant`` is on."""

    schema_version: Literal[1]
    equipment: str
    state: Literal["learning", "quiet", "open", "cooling"]
    incident: Literal["ON", "OFF"]
    diagnosis: str
    """Title of the fault of the open incident, or ``none``."""
    incident_id: str | None
    reason: str | None
    origin: str | None
    last_fault: str | None
    probability: float | None
    severity: str | None
    explanation: str | None
    actions: tuple[str, ...]
    source: str | None
    diagnosed_at: str | None


class SignedEnvelope(Section):
    """A signed document: exact bytes, and who signed them."""

    body: str
    """The document as JSON text."""
    key: str | None = None
    """Name of the key."""
    signature: str | None = None
    """ed25519 over prefix and body, base64."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One kind of message."""

    address: str
    """Below ``{topic_prefix}/{agent id}/``."""
    schema: str
    """Name of its file in ``docs/schemas``."""
    shape: Any
    what: str
    sent: bool = True
    """By the agent; False: the agent listens."""
    retained: bool = False


TOPICS = (
    Topic("status", "status", Status, "Online or offline; the last will.", retained=True),
    Topic("incident/{equipment}", "incident", Incident, "Opened, updated, closed."),
    Topic("diagnosis/{equipment}", "diagnosis", Diagnosis, "Which fault, why, what to do."),
    Topic("checkup/{equipment}", "checkup", Diagnosis, "A look at a machine without an incident."),
    Topic("summary/{area}", "summary", ShiftSummary, "The incidents of a shift, by area."),
    Topic("health", "health", Health, "How the agent is."),
    Topic("machine/{equipment}", "machine", MachineState, "For Home Assistant.", retained=True),
    Topic("deadletter", "deadletter", DeadLetter, "What could not be read, and why."),
    Topic(
        "config/reported",
        "config-reported",
        ConfigReported,
        "What became of the settings.",
        retained=True,
    ),
    Topic(
        "model/reported",
        "model-reported",
        ModelReported,
        "What became of the model.",
        retained=True,
    ),
    Topic(
        "adapter/reported",
        "adapter-reported",
        ModelReported,
        "What became of an adapter.",
        retained=True,
    ),
    Topic("cmd/{name}/response", "command-answer", CommandAnswer, "Answer to a command."),
    Topic(
        "config/desired",
        "config-desired",
        Desired | SignedEnvelope,
        "Settings from afar.",
        sent=False,
        retained=True,
    ),
    Topic(
        "model/desired",
        "model-desired",
        DesiredModel | SignedEnvelope,
        "A model from afar.",
        sent=False,
        retained=True,
    ),
    Topic(
        "adapter/desired",
        "adapter-desired",
        DesiredModel | SignedEnvelope,
        "An adapter (LoRA) from afar: as a model, its manifest with base_sha256 and task.",
        sent=False,
        retained=True,
    ),
    Topic("cmd/{name}", "command-request", CommandRequest, "A command.", sent=False),
)


@dataclass(frozen=True, slots=True)
class CommandShape:
    """One command with the JSON Schemas of both directions."""

    name: str
    description: str
    request: dict[str, Any]
    response: dict[str, Any]


def schema_of(topic: Topic) -> dict[str, Any]:
    """JSON Schema of a topic's messages."""
    mode: JsonSchemaMode = "serialization" if topic.sent else "validation"
    shape = topic.shape
    found = (
        shape.model_json_schema(mode=mode)
        if isinstance(shape, type) and issubclass(shape, BaseModel)
        else TypeAdapter(shape).json_schema(mode=mode)
    )
    return {"$schema": DIALECT, "title": topic.schema, **found}


def commands() -> tuple[CommandShape, ...]:
    """The commands that an agent answers, as it would list them itself."""
    settings = Settings()
    nobody: Any = None
    own = Operations(
        store=nobody, intake=nobody, report=dict, wake=lambda: None, card_for=lambda _: None
    ).commands()
    asked = Message(topic=settings.topic("cmd/help"), payload=b"{}", arrived=0.0)
    answer = Commands(settings, own).handle(asked, 0.0)
    listed = json.loads(answer.payload)["result"]["commands"] if answer else {}
    return tuple(CommandShape(name, **listed[name]) for name in sorted(listed))
