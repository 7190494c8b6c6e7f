"""What ``edge-agent eval noise`` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def noise(
    folder: Annotated[Path, typer.Argument(help="A data set's folder, or a folder of them.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    warmup: Annotated[int, typer.Option(min=60, help="Rows to learn from.")] = 400,
) -> None:
    """Fit the rules' noise model: how fault-free signals scatter in the pipeline."""
    from edge_agent.diagnose.likelihood import CALM_FREEDOM, CALM_SCALE
    from edge_agent.evaluation.dataset import find_datasets
    from edge_agent.evaluation.noise import fit_calm, noise_of

    found = {one.name: noise_of(one, warmup) for one in find_datasets(folder)}
    found = {name: one for name, one in found.items() if one.rows}
    if not found:
        raise typer.BadParameter(f"{folder}: no fault-free stretch is long enough to learn from")
    z = {name: one.distances()[:, 1] for name, one in found.items()}
    freedom, scale, loss = fit_calm(z.values())
    report = {
        "sets": [{"name": name, **one.report()} for name, one in found.items()],
        "fitted": {"freedom": freedom, "scale": scale, "loss": round(loss, 4)},
        "in_use": {"freedom": CALM_FREEDOM, "scale": CALM_SCALE},
        "without": {
            name: fit_calm([one for other, one in z.items() if other != name])[:2]
            for name in (z if len(z) > 1 else ())
        },
    }
    if as_json:
        typer.echo(json.dumps(report))
    else:
        _show(report)


def _show(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("set", "looks", "|sigma| 50 %", "99 %", "|z| 50 %", "90 %", "99 %"):
        table.add_column(title, justify="left" if title == "set" else "right")
    for title in ("noisy", "signals", "independent"):
        table.add_column(title, justify="right")
    for one in report["sets"]:
        table.add_row(
            one["name"],
            str(one["looks"]),
            *(f"{one['sigma_quantiles'][at]:.2f}" for at in (0, 4)),
            *(f"{one['z_quantiles'][at]:.2f}" for at in (0, 2, 4)),
            f"{one['marks'].get('noisy', 0.0):.3f}",
            str(one["signals"]),
            str(one["independent_signals"] or "–"),
        )
    console = Console()
    console.print(table)
    fitted, used = report["fitted"], report["in_use"]
    console.print(
        f"Student t of z: {fitted['freedom']:g} degrees of freedom, scale {fitted['scale']:g}; in "
        f"use: {used['freedom']:g}, {used['scale']:g}",
        highlight=False,
    )
    for name, (freedom, scale) in report["without"].items():
        console.print(f"  without {name}: {freedom:g}, {scale:g}", highlight=False)
