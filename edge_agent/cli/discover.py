"""``edge-agent discover``: watch a broker, draft settings and equipment cards."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from edge_agent.errors import Unavailable

if TYPE_CHECKING:
    from edge_agent.config.broker import MqttSection
    from edge_agent.decode.discovery import Discovery
    from edge_agent.decode.draft import Draft

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def discover(
    watch: Annotated[str, typer.Option("--for", help="How long: 60s, 5m, 1h.")] = "60s",
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="Settings file with [mqtt].", envvar="EDGE_AGENT_CONFIG"
        ),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Broker, instead of the settings'.")] = None,
    port: Annotated[int | None, typer.Option(help="Its port.")] = None,
    topic: Annotated[list[str] | None, typer.Option(help="Filters to watch; default all.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the drafted settings and cards.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Watch what is published and draft the settings and cards that read it.

    Exit codes: 0 something can be read, 1 nothing was heard or nothing can be read.
    """
    from edge_agent.decode.draft import card_toml, draft, settings_toml

    seconds = _seconds(watch)
    settings, prefix = _broker(config, host, port)
    discovery = listen(settings, tuple(topic or ("#",)), seconds, prefix)
    drafted = draft(discovery)
    if out is not None:
        cards = out / "equipment"
        cards.mkdir(parents=True, exist_ok=True)
        (out / "telemetry.toml").write_text(settings_toml(drafted), encoding="utf-8")
        for card in drafted.cards.values():
            name = re.sub(r"[^A-Za-z0-9_.-]", "_", card.equipment).strip(".") or "machine"
            (cards / f"{name}.toml").write_text(card_toml(card), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(_report(discovery, drafted)))
    else:
        _print(discovery, drafted)
    raise typer.Exit(0 if drafted.sources else 1)


def listen(
    settings: MqttSection, filters: tuple[str, ...], seconds: float, prefix: str
) -> Discovery:
    """Watch for ``seconds``; our own topics below ``prefix`` are left out. Raises
    ``Unavailable``."""
    from paho.mqtt.enums import MQTTProtocolVersion

    from edge_agent.decode.discovery import Discovery
    from edge_agent.domain.outgoing import Outgoing
    from edge_agent.domain.telemetry import Message
    from edge_agent.mqtt.link import Attempt, Identity, Link
    from edge_agent.mqtt.redirect import Endpoint
    from edge_agent.mqtt.session import LinkFailed

    discovery = Discovery()

    def take(message: Message) -> None:
        if not message.topic.startswith(prefix + "/"):
            discovery.observe(message)

    name = f"edge-agent-discover-{uuid4().hex[:8]}"
    identity = Identity(name, Outgoing(f"{prefix}/{name}/status", b"", key=name))
    link: Link | None = None
    reason = ""
    short = settings.model_copy(update={"session_expiry_s": 0, "client_id": None})
    for version in (MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311):
        attempt = Attempt(Endpoint(short.host, short.port), version, 1)
        link = Link(short, identity, attempt, take)
        try:
            link.open()
            break
        except LinkFailed as error:
            reason, link = str(error), None
    if link is None:
        raise Unavailable(reason)
    link.subscribe([(text, 0) for text in filters], replay_retained=True)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and link.turn(min(0.2, seconds)):
        pass
    link.close("done")
    return discovery


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if not found:
        raise typer.BadParameter(f"--for {text!r}: write a time such as 60s, 5m or 1h")
    return float(found[1]) * UNITS[found[2]]


def _broker(config: Path | None, host: str | None, port: int | None) -> tuple[MqttSection, str]:
    from edge_agent.config import Settings, load_settings

    settings = load_settings(config) if config is not None else Settings()
    changes = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    return settings.mqtt.model_copy(update=changes), settings.agent.topic_prefix


def _report(discovery: Discovery, drafted: Draft) -> dict[str, Any]:
    return {
        "topics": len(discovery.topics),
        "messages": sum(seen.messages for seen in discovery.topics.values()),
        "sources": [source.model_dump(exclude_defaults=True) for source in drafted.sources],
        "equipment": {
            card.equipment: {
                "period_s": card.period_s,
                "signals": {
                    name: {"unit": one.unit, "low": one.low, "high": one.high}
                    for name, one in card.signals.items()
                },
            }
            for card in drafted.cards.values()
        },
        "unread": drafted.unread,
    }


def _print(discovery: Discovery, drafted: Draft) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from edge_agent.decode.draft import settings_toml

    console = Console()
    count = sum(seen.messages for seen in discovery.topics.values())
    console.print(f"{count} messages on {len(discovery.topics)} topics")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("equipment", "signal", "unit", "low", "high", "period s"):
        table.add_column(heading)
    for card in drafted.cards.values():
        period = f"{card.period_s:.3g}" if card.period_s else ""
        for name, one in card.signals.items():
            cells = (card.equipment, name, one.unit or "", f"{one.low:.6g}", f"{one.high:.6g}")
            table.add_row(*(escape(cell) for cell in cells), period)
    console.print(table)
    console.print(escape(settings_toml(drafted)))
