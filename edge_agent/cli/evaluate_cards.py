"""``edge-agent eval cards``: how well a model reads fault texts, against tables made by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_agent.cli.card_compile import MODELS, ModelsDir

if TYPE_CHECKING:
    from edge_agent.domain.card import Card
    from edge_agent.evaluation.reading import Cell


@dataclass(frozen=True, slots=True)
class Way:
    """What one way of reading made of the cards."""

    cells: list[Cell]
    pairs: list[tuple[Card, Card]]
    """Each card with its key, and as it was read."""


def cards(
    folder: Annotated[
        Path, typer.Argument(exists=True, help="Folder of cards with formal symptoms (TOML).")
    ],
    model: Annotated[str, typer.Option(help="Catalogue name or GGUF file.")] = "smollm2-135m",
    adapter: Annotated[
        str | None, typer.Option(help="Adapter; 'none' for none; default: the catalogue's.")
    ] = None,
    zero_shot: Annotated[bool, typer.Option(help="Read without the adapter, too.")] = True,
    peers: Annotated[
        bool, typer.Option("--peers", help="A sentence-embedding matcher, too (extra bench).")
    ] = False,
    show_wrong: Annotated[
        bool, typer.Option("--wrong", help="List the cells it got wrong.")
    ] = False,
    models_dir: ModelsDir = MODELS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Read the texts of cards whose symptoms were written by hand, and count the cells.

    The formal symptoms are hidden from the reader. Beside the model with its adapter, the model as
    it is and the keyword rules read the same texts. What a reading is worth is told by simulated
    cases of each fault: how often the rules rank it first by the reading, and by the key.
    """
    from edge_agent.diagnose.library import CardLibrary
    from edge_agent.errors import BadConfig
    from edge_agent.evaluation.reading import blank, read_by_keywords, read_cells

    found = [
        card for card in CardLibrary.load(folder).cards if any(f.symptoms for f in card.faults)
    ]
    if not found:
        raise BadConfig(f"{folder}: no card with formal symptoms; they are the truth to count by")
    ways: dict[str, Way] = {
        "keyword rules": Way(
            [c for one in found for c in read_by_keywords(one)],
            [(one, blank(one)) for one in found],
        )
    }
    if peers:
        from edge_agent.bench.embedding_cards import embedder, read_by_embedding

        embed = embedder()
        pairs = [(one, read_by_embedding(blank(one), embed)) for one in found]
        ways["embeddings"] = Way([c for pair in pairs for c in read_cells(*pair)], pairs)
    name = "" if adapter == "none" else adapter
    if zero_shot and name != "":
        ways["model as it is"] = _read(found, model, "", models_dir, as_json)[1]
    reader, way = _read(found, model, name, models_dir, as_json)
    ways[f"model with {reader.adapter}" if reader.adapter else "model as it is"] = way
    if as_json:
        typer.echo(json.dumps(_report(folder, reader, ways)))
        return
    _show(folder, reader, ways, way.cells if show_wrong else [])


def _read(
    found: list[Any], model: str, adapter: str | None, models_dir: Path, quiet: bool
) -> tuple[Any, Way]:
    from rich.console import Console
    from rich.progress import Progress

    from edge_agent.diagnose.compiled import with_readings
    from edge_agent.evaluation.reading import blank, read_cells
    from edge_agent.fault_reader import compile_card, open_reader

    way = Way([], [])
    total = sum(len(card.faults) for card in found)
    with (
        open_reader(model, adapter, models_dir) as reader,
        Progress(console=Console(stderr=True), transient=True, disable=quiet) as progress,
    ):
        task = progress.add_task(
            f"reading with {reader.about.adapter or 'no adapter'}", total=total
        )
        for card in found:
            bare = blank(card)
            compiled = compile_card(bare, None, reader, lambda done: progress.advance(task, done))
            way.pairs.append((card, with_readings(bare, compiled)))
            way.cells.extend(read_cells(*way.pairs[-1]))
    return reader.about, way


def _report(folder: Path, reader: Any, ways: dict[str, Way]) -> dict[str, Any]:  # noqa: ANN401
    from edge_agent.evaluation.card_cases import fault_found
    from edge_agent.evaluation.reading import score

    by_card: dict[str, dict[str, float]] = {}
    cells = list(ways.values())[-1].cells
    for name in dict.fromkeys(one.card for one in cells):
        by_card[name] = score([one for one in cells if one.card == name])
    return {
        "folder": str(folder),
        "reader": reader.model_dump(mode="json"),
        "ways": {
            name: {**score(way.cells), "faults": fault_found(way.pairs)}
            for name, way in ways.items()
        },
        "cards": by_card,
    }


def _show(folder: Path, reader: Any, ways: dict[str, Way], wrong: list[Any]) -> None:  # noqa: ANN401
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
    for name, one in report["ways"].items():
        told = one["faults"]
        console.print(
            f"{name}: the fault came first in {told['top1']:.2f} of {told['cases']:.0f} simulated "
            f"cases, by the key in {told['top1_by_key']:.2f} ({told['of_key']:.2f} of it)",
            highlight=False,
        )
    for one in wrong:
        if one.read != one.truth:
            console.print(
                f"{one.card} {one.fault}, {one.signal}: {one.truth}, read {one.read} "
                f"({one.probability:.2f})",
                highlight=False,
            )
