"""``edge-agent card``: write, check and compile equipment cards."""

from __future__ import annotations

import typer

from edge_agent.cli.card_compile import compile_card

app = typer.Typer(name="card", help="Equipment cards: check, compile.", no_args_is_help=True)
app.command("compile")(compile_card)
