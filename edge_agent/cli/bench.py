"""``edge-agent bench …``: measured figures, each next to what a user would pick instead."""

from __future__ import annotations

import typer

from edge_agent.cli.bench_budget import budget
from edge_agent.cli.bench_inference import inference
from edge_agent.cli.bench_ingest import ingest

app = typer.Typer(name="bench", help="Measure this machine.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Measure this machine."""


app.command("budget")(budget)
app.command("ingest")(ingest)
app.command("inference")(inference)
