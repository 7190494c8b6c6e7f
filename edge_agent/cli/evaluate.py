"""``edge-agent eval …``: measured against labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(name="eval", help="Measure on labelled recordings.", no_args_is_help=True)

COLUMNS = {
    "name": "set",
    "f1": "F1",
    "far": "FAR %",
    "mar": "MAR %",
    "fault_free_far": "fault-free FAR %",
    "events_found": "found",
    "events": "events",
    "false_incidents_per_1000": "false / 1000 rows",
    "median_delay_rows": "delay, rows",
}


@app.callback()
def _group() -> None:
    """Measure on labelled recordings."""


@app.command()
def detect(
    folders: Annotated[
        list[Path], typer.Argument(exists=True, file_okay=False, help="Data sets, or their parent.")
    ],
    warmup: Annotated[int, typer.Option(min=30, help="Rows that teach and are not scored.")] = 400,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Stream every run through detection, row by row, and compare incidents with the labels."""
    from rich.console import Console
    from rich.table import Table

    from edge_agent.evaluation.detection import evaluate

    sets: list[dict[str, Any]] = []
    with Console(stderr=True).status("reading") as status:
        for folder in _datasets(folders):
            result, _ = evaluate(
                folder,
                warmup=warmup,
                progress=lambda name, folder=folder: status.update(f"{folder.name}: {name}"),  # type: ignore[misc]
            )
            sets.append(result)
    if as_json:
        typer.echo(json.dumps({"sets": sets}))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in COLUMNS.values():
        table.add_column(heading, justify="left" if heading == "set" else "right")
    for one in sets:
        table.add_row(*("" if one[key] is None else str(one[key]) for key in COLUMNS))
    Console().print(table)


def _datasets(folders: list[Path]) -> list[Path]:
    found = []
    for folder in folders:
        if (folder / "labels.csv").is_file():
            found.append(folder)
        else:
            found += sorted(path.parent for path in folder.glob("*/labels.csv"))
    if not found:
        raise typer.BadParameter("no labels.csv in there; name a data set's folder")
    return found
