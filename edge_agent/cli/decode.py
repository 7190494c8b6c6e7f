"""``edge-agent decode``: what the settings make of one message, without a broker."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_agent.errors import BadPayload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edge_agent.config import Settings
    from edge_agent.config.telemetry import SourceSection
    from edge_agent.decode.decoder import Decoder
    from edge_agent.domain.telemetry import Message, Reading

DEFAULT = Path("/etc/edge-agent/edge-agent.toml")


def decode(
    topic: Annotated[str, typer.Argument(help="Topic on which the message comes.")],
    payload: Annotated[str, typer.Argument(help="The payload itself, or @FILE with its bytes.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Settings file.", envvar="EDGE_AGENT_CONFIG"),
    ] = None,
    content_type: Annotated[str | None, typer.Option(help="MQTT 5 content type.")] = None,
    user: Annotated[
        list[str] | None, typer.Option(help="MQTT 5 user property, KEY=VALUE; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the readings in a message, or which rule failed where.

    Exit codes: 0 readings or rightly ignored, 1 refused, 78 the settings are wrong.
    """
    from edge_agent.decode.name import shown
    from edge_agent.domain.telemetry import Message

    settings = _settings(config)
    decoder = _decoder(settings)
    message = Message(
        topic,
        _bytes(payload),
        time.time(),
        content_type=content_type,
        user_properties=tuple(_property(text) for text in user or ()),
    )
    report = explain(decoder, message)
    if as_json:
        typer.echo(json.dumps(report))
    else:
        _print(report, shown(payload))
    raise typer.Exit(0 if report["reason"] is None else 1)


def explain(decoder: Decoder, message: Message) -> dict[str, Any]:
    """What ``decoder`` makes of ``message``, and by which source; ``reason``: why it is refused."""
    reason = None
    readings: list[Reading] = []
    try:
        readings = decoder.decode(message)
    except BadPayload as error:
        reason = str(error)
    number, section = decoder.source_of(message.topic)
    counts = asdict(decoder.counts)
    return {
        "topic": message.topic,
        "source": None if section is None else {"number": number, "topic": section.topic},
        "reason": reason,
        "readings": [
            {
                "equipment": one.equipment,
                "signal": one.signal,
                "value": one.value if one.quality != "out_of_range" else str(one.value),
                "at": datetime.fromtimestamp(one.at, UTC).isoformat(),
                "quality": one.quality,
            }
            for one in readings
        ],
        "left_out": {key: count for key, count in counts.items() if count},
        "notes": [*decoder.news(), *_unread(decoder), *_undated(section, message, readings)],
    }


def _unread(decoder: Decoder) -> Iterable[str]:
    """Which values gave no reading, what they are, and what would read them."""
    from edge_agent.decode.name import described, shown
    from edge_agent.decode.value import number

    lines: dict[str, None] = {}
    for key, value in decoder.unread:
        numeric = isinstance(value, str) and number(value, {}, in_strings=True) is not None
        remedy = ": numbers_in_strings = true reads it" if numeric else ""
        lines[f"{shown(key)} is no number but {described(value)}{remedy}"] = None
    return lines


def _undated(
    section: SourceSection | None, message: Message, readings: list[Reading]
) -> Iterator[str]:
    """That no time was found where the settings look for one, and what looks like one."""
    from edge_agent.decode.discovery import TIME_KEYS, time_form

    if section is None or not any(one.at == message.arrived for one in readings):
        return
    looked = f"nothing at time = {json.dumps(section.time)}" if section.time else "no time is set"
    yield f"{looked}: the time of arrival is taken for the time of measurement"
    for one in readings:
        form = time_form(one.value) if one.signal.split(".")[-1].lower() in TIME_KEYS else None
        if form is not None:
            way = f'time = {json.dumps(one.signal)}, time_format = "{form}"'
            yield f"{one.signal} looks like a time, not like a signal: set {way}"


def _settings(config: Path | None) -> Settings:
    from edge_agent.config import Settings, load_settings

    if config is None and not DEFAULT.exists():
        return Settings()
    return load_settings(config or DEFAULT)


def _decoder(settings: Settings) -> Decoder:
    """The daemon's own decoder, with the units of the cards where there are any."""
    from edge_agent.decode.decoder import Decoder

    folder = settings.diagnose.cards
    if not folder.is_dir():
        return Decoder(settings.telemetry, settings.agent.topic_prefix)
    from edge_agent.diagnose.library import CardLibrary

    cards = CardLibrary.load(folder)

    def unit_of(equipment: str, signal: str) -> str | None:
        card = cards.for_equipment(equipment)
        found = None if card is None else card.signals.get(signal)
        return None if found is None else found.unit or None

    return Decoder(settings.telemetry, settings.agent.topic_prefix, unit_of)


def _bytes(payload: str) -> bytes:
    if not payload.startswith("@"):
        return payload.encode("utf-8", "surrogateescape")
    try:
        return Path(payload[1:]).read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{payload[1:]} cannot be read: {error.strerror}") from None


def _property(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"--user {text!r}: write KEY=VALUE")
    return key, value


def _print(report: dict[str, Any], payload: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    source = report["source"]
    if source is None:
        console.print(f"[bold red]refused[/] by every source: {escape(str(report['reason']))}")
        return
    console.print(f"source {source['number']}: [bold]{escape(source['topic'])}[/]")
    if report["reason"] is not None:
        console.print(f"[bold red]refused[/]: {escape(report['reason'])}")
        console.print(f"[dim]payload {escape(payload)}[/]")
    elif not report["readings"]:
        console.print("no readings: the settings ignore it")
    else:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("equipment", "signal", "value", "at", "quality"):
            table.add_column(heading, justify="right" if heading == "value" else "left")
        for one in report["readings"]:
            table.add_row(*(escape(str(cell)) for cell in one.values()))
        console.print(table)
    for key, count in report["left_out"].items():
        console.print(f"[yellow]{key}[/]: {count}")
    for note in report["notes"]:
        console.print(f"[yellow]{escape(note)}[/]")
