"""``edge-agent bench budget``: is the budget held, and how much work is done within it?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

NEIGHBOUR_WORDS = "neighbour's task, p99 alone / beside us"


def budget(
    watts: Annotated[float, typer.Option(help="Budget for the whole gateway, watts.")] = 6.0,
    memory: Annotated[int, typer.Option(help="Budget for daemon and worker, MB.")] = 600,
    seconds: Annotated[float, typer.Option(help="Length of the run.")] = 240.0,
    window: Annotated[float, typer.Option(help="Average over this time, seconds.")] = 120.0,
    model: Annotated[str, typer.Option(help="Model to run.")] = "smollm2-135m",
    plot: Annotated[Path | None, typer.Option(help="Write a picture (SVG) here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run the real worker under a power and a memory budget, with a made-up power sensor that
    follows its real processor seconds (3 W idle, 4 W per busy core)."""
    from rich.console import Console

    from edge_agent.bench.budget import BudgetOptions, run
    from edge_agent.bench.budget_report import picture, report
    from edge_agent.config.settings import LogSection
    from edge_agent.logs.setup import configure_logs

    options = BudgetOptions(
        watts=watts, memory_mb=memory, seconds=seconds, window_s=window, model=model
    )
    if watts <= options.idle_watts:
        raise typer.BadParameter(f"--watts must be above the idle {options.idle_watts:g} W")
    configure_logs(LogSection(level="warning"))
    console = Console(stderr=True, quiet=as_json)
    with console.status("starting the worker") as status:
        outcome = run(options, status.update)
    figures = report(outcome)
    if plot is not None:
        plot.write_text(picture(outcome), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(figures))
        return
    Console().print(_table(figures))


def _table(figures: dict[str, Any]) -> Any:  # noqa: ANN401 - rich is imported where it is used
    from rich.table import Table

    table = Table(title="Budget", show_header=False)
    alone, beside = figures["neighbour_ms"]["alone"], figures["neighbour_ms"]["beside"]
    rows = [
        ("power, mean / budget", f"{figures['mean_watts']} / {figures['budget_watts']} W"),
        ("error of the mean", f"{figures['error']:+.2%}"),
        (f"worst {figures['window_s']:g} s", f"{figures['worst_window_watts']} W"),
        ("diagnoses", f"{figures['diagnoses']} ({figures['throughput_share']:.1%} of affordable)"),
        ("by rules alone", str(figures["rules_only"])),
        ("energy of a diagnosis", f"{figures['joules_per_diagnosis']} J above idle"),
        ("memory, peak / budget", f"{figures['memory_peak_mb']} / {figures['memory_limit_mb']} MB"),
        (NEIGHBOUR_WORDS, f"{alone['p99']} / {beside['p99']} ms"),
    ]
    for name, value in rows:
        table.add_row(name, value)
    return table
