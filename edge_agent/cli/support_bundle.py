"""``edge-agent support-bundle``: one archive for whoever helps."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from edge_agent.cli.run import ConfigOption


def support_bundle(
    config: ConfigOption = Path("/etc/edge-agent/edge-agent.toml"),
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Archive; default in the current folder."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Pack settings, status, checks, recent logs and figures of the store, without secrets.

    Passwords, keys and credentials are taken out of every file, as is whatever looks like one.
    Names of hosts, machines and signals stay: look into the archive before it leaves the plant.
    """
    from edge_agent.errors import Unavailable
    from edge_agent.preflight import subject
    from edge_agent.support import write_bundle

    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    target = output or Path(f"edge-agent-support-{stamp}.tar.gz")
    try:
        outcome = write_bundle(subject(config), target)
    except OSError as error:
        raise Unavailable(f"{target}: {error.strerror}; name another with --output") from error
    if as_json:
        typer.echo(json.dumps({"file": str(target), "members": outcome}))
        return
    for name, text in outcome.items():
        typer.echo(f"  {name:14} {text}")
    typer.echo(f"{target}: {target.stat().st_size / 1000:.0f} kB. Look into it before you send it.")
