"""``[observe]``: the agent in the monitoring of the plant."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from edge_agent.config.section import Section


class MetricsSection(Section):
    """``[observe.metrics]``: Prometheus. All three ways are off until they are named."""

    port: int | None = Field(default=None, ge=1, le=65535)
    """TCP port of ``http://127.0.0.1:PORT/metrics``; it is never opened on another interface."""
    socket: Path | None = None
    """Unix socket that answers the same over HTTP, for a proxy or a collector on this host."""
    textfile: Path | None = None
    """File for node-exporter's textfile collector, such as
    ``/var/lib/node_exporter/edge-agent.prom``; replaced in one step every 15 s."""
    max_equipment: int = Field(default=50, ge=0, le=1000)
    """Machines that get series of their own, those with incidents first; all are in the sums."""


class HomeAssistantSection(Section):
    """``[observe.home_assistant]``: MQTT discovery."""

    enabled: bool = False
    """Announce the agent and each machine as devices. Switched off, they are taken back."""
    prefix: str = Field(default="homeassistant", pattern=r"^[^#+$/][^#+]{0,100}$")
    """Home Assistant's discovery prefix."""
    max_equipment: int = Field(default=200, ge=0, le=1000)
    """Machines that are announced at most."""


class ObserveSection(Section):
    """What the agent shows of itself, beside ``…/health``."""

    runtime_dir: Path | None = None
    """Folder of the socket that ``edge-agent status`` asks; absent: systemd's
    ``$RUNTIME_DIRECTORY``, else the state directory."""
    metrics: MetricsSection = MetricsSection()
    home_assistant: HomeAssistantSection = HomeAssistantSection()
