"""``edge-agent bench ingest``: what the daemon takes in, next to what others need for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def ingest(
    messages: Annotated[int, typer.Option(min=1000, help="Messages sent at each rate.")] = 50_000,
    signals: Annotated[int, typer.Option(min=10, help="Signals, ten to a machine.")] = 100,
    qos: Annotated[int, typer.Option(min=0, max=1, help="Quality of service.")] = 0,
    node_red: Annotated[
        Path | None, typer.Option(help="red.js of an installed Node-RED, to compare with.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Messages a second that the daemon takes in on one core, next to what others need for it."""
    from edge_agent.bench.ingest import Plan, measure

    report = measure(Plan(messages, signals, qos, str(node_red) if node_red else None))
    if as_json:
        typer.echo(json.dumps(report))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    keys = ("messages_per_second", "cpu_seconds_per_100k", "resident_mb", "bytes_per_signal")
    for key in keys:
        table.add_column(key.replace("_", " "), justify="right")
    for name, row in {"edge-agent": report, **report["peers"]}.items():
        table.add_row(name, *(str(row.get(key, "")) for key in keys))
    Console().print(table)
