"""``edge-agent check``: is this gateway ready?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_agent.cli.run import ConfigOption

STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


def check(
    config: ConfigOption = Path("/etc/edge-agent/edge-agent.toml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    strict: Annotated[
        bool, typer.Option("--warnings-as-errors", help="Exit 1 on a warning too.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out the smoke run of the model.")
    ] = False,
) -> None:
    """Check settings, cards, secrets, broker, clock, disk, sensors, budgets and model.

    At the broker it logs in beside a running agent, publishes an empty message to each of the
    agent's own topics but `status`, and listens for three seconds. The smoke run loads the model
    once and asks it for one word.

    Exit codes: 0 ready, 1 something is wrong, 78 the settings file itself is wrong.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from edge_agent.preflight import Mark, examine, subject

    lines = list(examine(subject(config), run_model=not quick))
    bad = {Mark.ERROR, Mark.WARNING} if strict else {Mark.ERROR}
    ready = not any(line.mark in bad for line in lines)
    if as_json:
        document = {"ready": ready, "lines": [line.model_dump(mode="json") for line in lines]}
        typer.echo(json.dumps(document))
    else:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("")
        table.add_column("check", no_wrap=True)
        table.add_column("result, and what to do", overflow="fold")
        for line in lines:
            mark = f"[{STYLES[line.mark]}]{line.mark}[/]"
            text = escape(line.text) + (
                f"\n[bold]→[/] {escape(line.remedy)}" if line.remedy else ""
            )
            table.add_row(mark, line.check, text)
        Console().print(table)
    raise typer.Exit(0 if ready else 1)
