"""The whole settings document."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from edge_agent.config.broker import MqttSection
from edge_agent.config.detect import DetectSection
from edge_agent.config.diagnose import DiagnoseSection
from edge_agent.config.govern import GovernSection
from edge_agent.config.inference import InferenceSection
from edge_agent.config.observe import ObserveSection
from edge_agent.config.report import ReportSection
from edge_agent.config.section import Section
from edge_agent.config.telemetry import TelemetrySection

TOPIC_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def _topic_word(text: str) -> str:
    if not TOPIC_WORD.fullmatch(text):
        raise ValueError("1 to 64 letters, digits and _ . : - (it is one level of a topic)")
    return text


class AgentSection(Section):
    """``[agent]``: who this gateway is."""

    id: Annotated[str, AfterValidator(_topic_word)] = "gateway"
    """Name of this gateway, unique in the fleet."""
    topic_prefix: str = Field(default="edge", pattern=r"^[^#+$][^#+]{0,200}$")
    """Everything we publish lies below ``{topic_prefix}/{id}/``."""
    shutdown_grace_s: float = Field(default=20.0, ge=1, le=300)
    """SIGTERM: how long the current job may take to finish, seconds."""


class StoreSection(Section):
    """``[store]``: the one SQLite file."""

    state_dir: Path = Path("/var/lib/edge-agent")
    """Directory of everything that outlives a restart; under systemd ``$STATE_DIRECTORY``."""
    max_mb: int = Field(default=256, ge=8)
    """Bound on the database file, megabytes."""
    outbox_rows: int = Field(default=100_000, ge=100)
    """Bound on waiting messages; the oldest of the lowest priority are shed and counted."""
    ballast_mb: int = Field(default=8, ge=0, le=1024)
    """A file of this size is kept beside the database and given up when the disk is full, so
    that there is room to send, shed and recover; megabytes."""


class PublishSection(Section):
    """``[publish]``: results out."""

    retain_diagnosis: bool = False
    """Keep the last diagnosis of each machine at the broker."""
    window: int = Field(default=16, ge=1, le=1000)
    """Messages in flight at once."""


class HealthSection(Section):
    """``[health]``: what we say of ourselves."""

    interval_s: float = Field(default=60.0, ge=1, le=3600)
    """Seconds between two ``…/health`` messages."""


class RolloutSection(Section):
    """``[rollout]``: configuration from afar."""

    trust_anchors: Path | None = None
    """File of ed25519 public keys that may sign desired settings; absent: unsigned documents
    are accepted, which ``check`` and the log say loudly."""
    probation_s: float = Field(default=60.0, ge=1, le=3600)
    """A new revision must keep everything healthy this long to be confirmed, seconds."""
    remote: bool = True
    """False: this file alone counts; whatever was pushed is ignored. Only the file sets it."""
    groups: tuple[Annotated[str, AfterValidator(_topic_word)], ...] = ()
    """Groups of the fleet that this gateway belongs to; a push may be for one of them."""
    commands: tuple[str, ...] = (
        "help",
        "schema",
        "status",
        "diagnose",
        "rebaseline",
        "feedback",
    )
    """Commands that are answered on ``…/cmd/{name}``; all others are refused."""
    model_import_dir: Path | None = None
    """Folder that a model manifest may name files of (``file:NAME``), such as a USB stick's."""
    model_ca: Path | None = None
    """PEM file with the authorities of the servers that models come from; absent: the system's."""
    download_kbps: int | None = Field(default=None, ge=16)
    """Rate limit for model files, kilobytes (10^3 bytes) a second; absent: none."""
    disk_reserve_mb: int = Field(default=512, ge=0)
    """This much stays free on the disk after a model was fetched, megabytes."""
    signed_commands: bool = False
    """True: a command must come in an envelope signed by a trust anchor, as settings do."""


class LogSection(Section):
    """``[log]``: what goes to the journal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is written."""
    format: Literal["auto", "console", "json"] = "auto"
    """``auto``: for people on a terminal, JSON otherwise."""


class Settings(Section):
    """Everything the agent can be told; every key has a default but the machines themselves."""

    agent: AgentSection = AgentSection()
    mqtt: MqttSection = MqttSection()
    telemetry: TelemetrySection = TelemetrySection()
    detect: DetectSection = DetectSection()
    diagnose: DiagnoseSection = DiagnoseSection()
    report: ReportSection = ReportSection()
    inference: InferenceSection = InferenceSection()
    govern: GovernSection = GovernSection()
    publish: PublishSection = PublishSection()
    store: StoreSection = StoreSection()
    health: HealthSection = HealthSection()
    observe: ObserveSection = ObserveSection()
    rollout: RolloutSection = RolloutSection()
    log: LogSection = LogSection()

    @property
    def models_dir(self) -> Path:
        """Where added models and adapters lie: as set, or beside the store."""
        return self.inference.models_dir or self.store.state_dir / "models"

    def topic(self, name: str) -> str:
        """Our own topic ``{prefix}/{agent id}/{name}``."""
        return f"{self.agent.topic_prefix}/{self.agent.id}/{name}"
