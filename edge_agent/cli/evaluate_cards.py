"""``edge-agent eval cards``: how well a model reads fault texts, against tables made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_agent.cli.card_compile import MODELS, ModelsDir


def cards(
    folder: Annotated[
        Path, typer.Argument(exists=True, help="Folder of cards with formal symptoms (TOML).")
    ],
    model: Annotated[str, typer.Option(help="Catalogue name or GGUF file.")] = "smollm2-135m",
    adapter: Annotated[
        str | None, typer.Option(help="Adapter; 'none' for none; default: the catalogue's.")
    ] = None,
    zero_shot: Annotated[bool, typer.Option(help="Read without the adapter, too.")] = True,
    show_wrong: Annotated[
        bool, typer.Option("--wrong", help="List the cells it got wrong.")
    ] = False,
    models_dir: ModelsDir = MODELS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Read the texts of cards whose symptoms were written by hand, and count the cells.

    The formal symptoms are hidden from the reader. Beside the model with its adapter, the model as
    it is and the keyword rules read the same texts.
    """
    from edge_agent.diagnose.library import CardLibrary
    from edge_agent.errors import BadConfig
    from edge_agent.evaluation.reading import read_by_keywords

    found = [
        card for card in CardLibrary.load(folder).cards if any(f.symptoms for f in card.faults)
    ]
    if not found:
        raise BadConfig(f"{folder}: no card with formal symptoms; they are the truth to count by")
    ways: dict[str, list[Any]] = {
        "keyword rules": [c for one in found for c in read_by_keywords(one)]
    }
    name = "" if adapter == "none" else adapter
    if zero_shot and name != "":
        ways["model as it is"] = _read(found, model, "", models_dir, as_json)[1]
    reader, cells = _read(found, model, name, models_dir, as_json)
    ways[f"model with {reader.adapter}" if reader.adapter else "model as it is"] = cells
    if as_json:
        typer.echo(json.dumps(_report(folder, reader, ways)))
        return
    _show(folder, reader, ways, cells if show_wrong else [])


def _read(
    found: list[Any], model: str, adapter: str | None, models_dir: Path, quiet: bool
) -> tuple[Any, list[Any]]:
    from rich.console import Console
    from rich.progress import Progress

    from edge_agent.evaluation.reading import blank, read_by_model
    from edge_agent.fault_reader import compile_card, open_reader

    cells: list[Any] = []
    total = sum(len(card.faults) for card in found)
    with (
        open_reader(model, adapter, models_dir) as reader,
        Progress(console=Console(stderr=True), transient=True, disable=quiet) as progress,
    ):
        task = progress.add_task(
            f"reading with {reader.about.adapter or 'no adapter'}", total=total
        )
        for card in found:
            compiled = compile_card(
                blank(card), None, reader, lambda done: progress.advance(task, done)
            )
            cells += read_by_model(card, compiled)
    return reader.about, cells


def _report(folder: Path, reader: Any, ways: dict[str, list[Any]]) -> dict[str, Any]:  # noqa: ANN401
    from edge_agent.evaluation.reading import score

    by_card: dict[str, dict[str, float]] = {}
    cells = list(ways.values())[-1]
    for name in dict.fromkeys(one.card for one in cells):
        by_card[name] = score([one for one in cells if one.card == name])
    return {
        "folder": str(folder),
        "reader": reader.model_dump(mode="json"),
        "ways": {way: score(some) for way, some in ways.items()},
        "cards": by_card,
    }


def _show(folder: Path, reader: Any, ways: dict[str, list[Any]], wrong: list[Any]) -> None:  # noqa: ANN401
    from rich.console import Console
    from rich.table import Table

    report = _report(folder, reader, ways)
    console = Console()
    for title, rows in (("by way of reading", report["ways"]), ("by card", report["cards"])):
        table = Table(title=f"{folder}: cells read rightly, {title}")
        for heading in ("", "cells", "right", "of those mentioned", "of those read", "ECE"):
            table.add_column(heading, justify="right" if heading else "left", overflow="fold")
        for name, one in rows.items():
            shares = [f"{one[k]:.2f}" for k in ("accuracy", "mentioned", "claimed")]
            table.add_row(name, f"{one['cells']:.0f}", *shares, f"{one['calibration_error']:.2f}")
        console.print(table)
    for one in wrong:
        if one.read != one.truth:
            console.print(
                f"{one.card} {one.fault}, {one.signal}: {one.truth}, read {one.read} "
                f"({one.probability:.2f})",
                highlight=False,
            )
