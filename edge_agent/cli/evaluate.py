"""``edge-agent eval``: measure the pipeline on labelled recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_agent.cli.evaluate_cards import cards
from edge_agent.cli.evaluate_noise import noise

app = typer.Typer(name="eval", help="Measure the pipeline on labelled recordings.")


@app.callback()
def _group() -> None:
    """Keep ``eval`` a group even with a single command."""


app.command()(cards)
app.command()(noise)


@app.command()
def detect(
    folder: Annotated[Path, typer.Argument(help="A data set's folder, or a folder of them.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw signals, truth, score and incidents (SVG).")
    ] = None,
    warmup: Annotated[int, typer.Option(min=30, help="Rows to learn from, not scored.")] = 400,
    runs: Annotated[bool, typer.Option("--runs", help="Show each run as well.")] = False,
) -> None:
    """Stream labelled recordings through detection and compare with the truth."""
    from edge_agent.evaluation.dataset import Run, find_datasets
    from edge_agent.evaluation.detection import judge_set, report_set, tally
    from edge_agent.evaluation.picture import draw

    sets = []
    pages = []
    for dataset in find_datasets(folder):
        verdicts = []
        left_out: list[Run] = []
        for one in judge_set(dataset, warmup, left_out.append):
            verdicts.append(one)
            if plot is not None:
                pages.append(one)
        report = report_set(dataset, verdicts, left_out)
        if runs:
            report["per_run"] = [
                {"name": one.run.name, "learned_from": one.learned_from, **tally([one]).report()}
                for one in verdicts
            ]
        sets.append(report)
        if not as_json:
            _show(report)
    if plot is not None:
        plot.write_text(draw(pages), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps({"sets": sets}))


def _show(report: dict[str, object]) -> None:
    from rich.console import Console
    from rich.table import Table

    keys = (
        "f1",
        "far",
        "mar",
        "mean_missed",
        "events",
        "events_found",
        "false_incidents",
        "false_incidents_per_1000",
        "median_delay_rows",
        "fault_free_far",
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("name")
    for key in keys:
        table.add_column(key.replace("_", " "), justify="right")
    halves = report["halves"].items()  # type: ignore[attr-defined]
    rows = [report, *({"name": f"half {name}", **half} for name, half in halves)]
    rows += report.get("per_run", [])  # type: ignore[arg-type]
    for row in rows:
        table.add_row(str(row["name"]), *("" if row.get(k) is None else str(row[k]) for k in keys))
    console = Console()
    console.print(table)
    left_out = report["runs_left_out"]
    if isinstance(left_out, list) and left_out:
        console.print(
            f"{len(left_out)} runs with {report['events_left_out']} events left out, since there "
            f"is nothing normal to learn from: {', '.join(left_out)}"
        )


@app.command()
def diagnose(
    folder: Annotated[Path, typer.Argument(help="A data set's folder, or a folder of them.")],
    card: Annotated[
        Path | None,
        typer.Option(help="Equipment card, or a folder of them; default: the set's own."),
    ] = None,
    rules_only: Annotated[bool, typer.Option("--rules-only", help="Ask no model.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    warmup: Annotated[int, typer.Option(min=30, help="Rows to learn from, not scored.")] = 400,
    model: Annotated[str, typer.Option(help="Catalogue name or GGUF file.")] = "smollm2-135m",
    onset_only: Annotated[
        bool, typer.Option("--onset-only", help="Leave out the pipeline's own incidents.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw confusion matrices and reliability diagrams (SVG).")
    ] = None,
    fit: Annotated[
        Path | None,
        typer.Option(help="Fit the rules' calibration on these sets and write it here (JSON)."),
    ] = None,
) -> None:
    """Diagnose each labelled event from its true onset and from the pipeline's incident."""
    from edge_agent.cli.evaluate_diagnosis import report_sets, show
    from edge_agent.evaluation.diagnosis import POOLED, VIEWS
    from edge_agent.evaluation.diagnosis_picture import draw
    from edge_agent.evaluation.reliability import pooled

    asked = None if rules_only else model
    sets = report_sets(folder, card, warmup, asked, incidents=not onset_only, fit_to=fit)
    if plot is not None:
        plot.write_text(draw(sets), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps({"sets": sets, "pooled": pooled(sets, POOLED, VIEWS)}))
    else:
        show(sets)
