"""Which broker a command talks to: that of a settings file (login, TLS), or one by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edge_agent.cli.fleet_link import FleetLink
    from edge_agent.config.broker import MqttSection

PANEL = "Broker"
BrokerFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Settings file whose broker (login, TLS) and topic prefix are used.",
        rich_help_panel=PANEL,
    ),
]
Host = Annotated[
    str, typer.Option(help="Broker, where no --config is given.", rich_help_panel=PANEL)
]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Its port.", rich_help_panel=PANEL)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Prefix = Annotated[str, typer.Option(help="Topic prefix of the fleet.", rich_help_panel=PANEL)]


def broker_of(config: Path | None, host: str, port: int) -> MqttSection:
    """The broker that the options name. Raises ``BadConfig`` for a wrong settings file."""
    from edge_agent.config import load_settings
    from edge_agent.config.broker import MqttSection

    return MqttSection(host=host, port=port) if config is None else load_settings(config).mqtt


def connect(config: Path | None, host: str, port: int, prefix: str) -> FleetLink:
    """The line to the fleet of the settings file, or of the broker and prefix that are named."""
    from edge_agent.cli.fleet_link import FleetLink
    from edge_agent.config import load_settings

    if config is not None:
        prefix = load_settings(config).agent.topic_prefix
    return FleetLink(broker_of(config, host, port), prefix)
