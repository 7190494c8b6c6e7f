"""``edge-agent systemd``: what the settings mean for the units."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_agent.cli.run import ConfigOption

app = typer.Typer(name="systemd", help="The systemd units.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A group of commands, even while it has one."""


@app.command()
def show(
    config: ConfigOption = Path("/etc/edge-agent/edge-agent.toml"),
    unit: Annotated[
        str | None, typer.Option(help="Only this unit: edge-agent or edge-agent-inference.")
    ] = None,
) -> None:
    """Print drop-ins whose limits follow from the settings' budgets.

    `edge-agent systemd show --unit edge-agent >
    /etc/systemd/system/edge-agent.service.d/50-budgets.conf`, then `systemctl daemon-reload`.
    """
    from edge_agent.config import load_settings
    from edge_agent.unitlimits import drop_in, limits

    units = limits(load_settings(config))
    if unit is not None and unit not in units:
        known = ", ".join(units)
        raise typer.BadParameter(f"with these settings there is {known}", param_hint="--unit")
    wanted = [unit] if unit is not None else list(units)
    typer.echo("\n".join(drop_in(name, units[name]) for name in wanted), nl=False)
