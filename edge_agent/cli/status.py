"""``edge-agent status``: how the daemon on this gateway is, asked over its socket."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_agent.cli.run import ConfigOption
from edge_agent.errors import Unavailable

if TYPE_CHECKING:
    from edge_agent.config import Settings

PAUSE_S = 0.3


def status(
    config: ConfigOption = Path("/etc/edge-agent/edge-agent.toml"),
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Wait so long for it to answer.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show how the daemon is now: level, broker, machines, queue, model, last diagnoses, budgets.

    Exit codes: 0 it answers, 1 it does not run or does not answer, 78 the settings are wrong.
    """
    from rich.console import Console

    from edge_agent.cli.status_view import page
    from edge_agent.config import load_settings

    settings = load_settings(config)
    try:
        report = _ask(settings, time.monotonic() + wait)
    except Unavailable as error:
        _tell_absence(str(error), settings.store.state_dir / "status.json", as_json=as_json)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps({"running": True, "health": report}))
        return
    Console().print(page(report))


def _ask(settings: Settings, deadline: float) -> dict[str, Any]:
    """The daemon's report; one that is starting gets time until ``deadline``, monotonic seconds."""
    from edge_agent.statussocket import ask, find

    while True:
        try:
            return ask(find(settings, os.environ))
        except Unavailable:
            if time.monotonic() >= deadline:
                raise
        time.sleep(PAUSE_S)


def _tell_absence(reason: str, left: Path, *, as_json: bool) -> None:
    """The daemon does not answer: why, since when, and what to do."""
    report, at = _last_report(left)
    if as_json:
        document = {"running": False, "reason": reason, "last_report_at": at, "health": report}
        typer.echo(json.dumps(document))
        return
    typer.echo(f"the daemon does not answer: {reason}")
    if at is None:
        typer.echo(f"there is no report of an earlier run in {left}")
    else:
        from edge_agent.cli.report_parts import part

        known = report or {}
        level = part(known, "governor").get("level", "not known")
        uptime = part(known, "agent").get("uptime_s", "?")
        typer.echo(f"its last report was written at {at}: level {level}, up {uptime} s ({left})")
    typer.echo("start it:       systemctl start edge-agent     (or: edge-agent run --config FILE)")
    typer.echo("see why:        journalctl -u edge-agent -n 50")
    typer.echo("check settings: edge-agent check --config FILE")


def _last_report(left: Path) -> tuple[dict[str, Any] | None, str | None]:
    """``status.json`` and when it was written, RFC 3339; None for what cannot be read."""
    try:
        at = datetime.fromtimestamp(left.stat().st_mtime, UTC).isoformat(timespec="seconds")
        document = json.loads(left.read_bytes())
    except (OSError, ValueError):
        return None, None
    return (document if isinstance(document, dict) else None), at.replace("+00:00", "Z")
