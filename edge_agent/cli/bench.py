"""``edge-agent bench …``: measured figures, each next to what a user would pick instead."""

from __future__ import annotations

import typer

app = typer.Typer(name="bench", help="Measure this machine.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Measure this machine."""
