"""The command line: one Typer app, a module per group of commands.

Exit codes: 0 fine, 1 found a problem, 2 wrong usage, 78 bad configuration.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from edge_agent import __version__
from edge_agent.cli import bench, evaluate, jobs, model
from edge_agent.cli.calibrate import calibrate
from edge_agent.cli.card import app as card_app
from edge_agent.cli.check import check
from edge_agent.cli.config import app as config_app
from edge_agent.cli.decode import decode
from edge_agent.cli.demo import demo
from edge_agent.cli.diagnose import diagnose
from edge_agent.cli.discover import discover
from edge_agent.cli.replay import replay
from edge_agent.cli.run import run
from edge_agent.cli.simulate import simulate
from edge_agent.cli.status import status
from edge_agent.cli.support_bundle import support_bundle
from edge_agent.cli.systemd import app as systemd_app
from edge_agent.cli.top import top
from edge_agent.cli.worker import worker
from edge_agent.config.settings import LogSection
from edge_agent.errors import BadConfig, EdgeAgentError
from edge_agent.logs.setup import configure_logs


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edge-agent {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version."),
    ] = False,
) -> None:
    """Diagnostic agent for factory gateways."""


app = typer.Typer(
    callback=_options,
    name="edge-agent",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.add_typer(config_app)
app.command()(run)
app.command()(worker)
app.add_typer(systemd_app)
app.command()(check)
app.command("support-bundle")(support_bundle)
app.command()(status)
app.command()(decode)
app.command()(discover)
app.command()(diagnose)
app.command()(demo)
app.command()(simulate)
app.command()(replay)
app.command()(top)
app.command()(calibrate)
app.add_typer(card_app)
app.add_typer(bench.app)
app.add_typer(model.app)
app.add_typer(jobs.app)
app.add_typer(evaluate.app)


def main() -> None:
    """Run the command line; our own errors become one message and an exit code."""
    configure_logs(LogSection(level="warning", format="console"))
    try:
        app()
    except BadConfig as error:
        typer.echo(f"edge-agent: {error}", err=True)
        sys.exit(78)
    except EdgeAgentError as error:
        typer.echo(f"edge-agent: {error}", err=True)
        sys.exit(1)
