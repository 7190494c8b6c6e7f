"""What the gateways of a fleet report: ``edge-agent config status|watch|diff``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_agent.cli.broker_options import AsJson, BrokerFile, Host, Port, Prefix, connect
from edge_agent.cli.waves import TROUBLE, differences
from edge_agent.errors import BadConfig

if TYPE_CHECKING:
    from rich.table import Table

    from edge_agent.cli.fleet_link import FleetLink


def status(
    config: BrokerFile = None,
    host: Host = "localhost",
    port: Port = 1883,
    prefix: Prefix = "edge",
    as_json: AsJson = False,
) -> None:
    """Print what every gateway reports of its settings."""
    with connect(config, host, port, prefix) as link:
        link.settle()
        if as_json:
            found = {
                "agents": link.reports,
                "models": link.models,
                "adapters": link.adapters,
                "online": link.online,
            }
            typer.echo(json.dumps(found))
            return
        from rich.console import Console

        Console().print(fleet_table(link))


def watch(
    seconds: Annotated[float, typer.Option("--for", help="Stop after; 0: until Ctrl-C.")] = 0.0,
    config: BrokerFile = None,
    host: Host = "localhost",
    port: Port = 1883,
    prefix: Prefix = "edge",
) -> None:
    """Show the fleet's reported states live."""
    from rich.live import Live

    end = time.monotonic() + seconds if seconds else float("inf")
    with connect(config, host, port, prefix) as link, Live(fleet_table(link)) as live:
        try:
            while (left := end - time.monotonic()) > 0:
                link.wait_for_news(min(left, 1.0))
                live.update(fleet_table(link))
        except KeyboardInterrupt:
            return


def diff(
    agent: Annotated[str, typer.Argument(help="A gateway.")],
    other: Annotated[str | None, typer.Argument(help="Another gateway.")] = None,
    file: Annotated[Path | None, typer.Option(help="A settings file instead.")] = None,
    config: BrokerFile = None,
    host: Host = "localhost",
    port: Port = 1883,
    prefix: Prefix = "edge",
    as_json: AsJson = False,
) -> None:
    """Compare a gateway's effective settings with another's, or with a file. Exit 1: differ."""
    from edge_agent.config import load_settings
    from edge_agent.rollout.document import shown

    if (other is None) == (file is None):
        raise BadConfig("name another gateway, or --file")
    with connect(config, host, port, prefix) as link:
        link.settle()
        left = _effective(link, agent)
        if file is not None:
            right = json.loads(json.dumps(shown(load_settings(file))))
        else:
            right = _effective(link, other or "")
    found = differences(left, right)
    names = (agent, other or str(file))
    if as_json:
        rows = {key: {names[0]: pair[0], names[1]: pair[1]} for key, pair in found.items()}
        typer.echo(json.dumps({"same": not found, "differences": rows}))
    else:
        typer.echo("no difference" if not found else f"key: {names[0]} | {names[1]}")
        for key, (ours, theirs) in found.items():
            typer.echo(f"{key}: {json.dumps(ours)} | {json.dumps(theirs)}")
    raise typer.Exit(1 if found else 0)


def _effective(link: FleetLink, agent: str) -> dict[str, Any]:
    report = link.reports.get(agent)
    if report is None:
        known = ", ".join(sorted(link.reports)) or "none"
        raise BadConfig(f"{agent}: has reported nothing; known are: {known}")
    settings: dict[str, Any] = report["effective"]["settings"]
    return settings


def fleet_table(link: FleetLink) -> Table:
    """A row per gateway."""
    from rich.table import Table

    table = Table(title="fleet")
    for heading in (
        "gateway",
        "online",
        "revision",
        "state",
        "effective",
        "signed",
        "model",
        "reason",
    ):
        table.add_column(heading)
    colours = {"confirmed": "green", "probation": "cyan", "applying": "cyan"}
    reports, online = link.reports, link.online
    for agent in sorted(reports.keys() | online.keys()):
        report = reports.get(agent, {})
        state = str(report.get("state", "?"))
        effective = report.get("effective", {})
        colour = colours.get(state, "red" if state in TROUBLE else "white")
        table.add_row(
            agent,
            {True: "yes", False: "[red]no[/]"}.get(online.get(agent, False)),
            str(report.get("revision") or "-"),
            f"[{colour}]{state}[/]",
            f"{effective.get('revision') or 'file'} {str(effective.get('hash', ''))[:8]}",
            "yes" if report.get("secured") else "[red]no[/]",
            _model_cell(link.models.get(agent)),
            _remark(report)[:80].replace("[", "\\["),
        )
    return table


def _remark(report: dict[str, Any]) -> str:
    """The reason of the last document's end, else a warning beside what ``signed`` says."""
    warnings = [str(one) for one in report.get("warnings", ())]
    others = [one for one in warnings if report.get("secured") or one != warnings[0]]
    return str(report.get("reason") or "; ".join(others))


def _model_cell(report: dict[str, Any] | None) -> str:
    if report is None or report.get("state") == "none":
        return ""
    used = (report.get("in_use") or {}).get("name", "settings")
    progress = report.get("progress") or {}
    if report.get("state") == "fetching" and progress.get("of"):
        return f"{used} (fetching {100 * progress.get('bytes', 0) // progress['of']} %)"
    return f"{used} ({report.get('state', '?')})"
