"""``edge-agent run``: the daemon, as the command line shows it. ``edge_agent.__main__`` takes the
usual form of it past this module."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_agent.daemon import DEFAULT, VARIABLE, serve

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", help="Settings file.", envvar=VARIABLE),
]


def run(config: ConfigOption = Path(DEFAULT)) -> None:
    """Run the agent until SIGTERM or SIGINT; SIGHUP reads the settings file again.

    Exit codes: 0 stopped on request, 1 an internal failure (systemd restarts it), 78 the settings
    are wrong.
    """
    raise typer.Exit(serve(config))
