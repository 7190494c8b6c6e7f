"""``edge-agent card``: draft, check and compile equipment cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_agent.cli.card_calibrate import calibrate
from edge_agent.cli.card_compile import compile_card
from edge_agent.errors import BadConfig

app = typer.Typer(name="card", help="Equipment cards: draft, check, compile.", no_args_is_help=True)
app.command("compile")(compile_card)
app.command()(calibrate)

CARDS = Path("configs/equipment")


@app.command()
def check(
    paths: Annotated[list[Path], typer.Argument(exists=True, help="Cards, or folders of cards.")],
    strict: Annotated[
        bool, typer.Option("--warnings-as-errors", help="Exit 1 for warnings, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check equipment cards: what is wrong, and what is valid and yet poor.

    Exit codes: 0 fine, 1 a card is wrong (or, with --warnings-as-errors, has a warning).
    """
    found = [_checked(path) for path in _cards(paths)]
    wrong = any(one["errors"] or (strict and one["warnings"]) for one in found)
    if as_json:
        typer.echo(json.dumps({"ok": not wrong, "cards": found}))
    else:
        _show(found)
    raise typer.Exit(1 if wrong else 0)


def _cards(paths: list[Path]) -> list[Path]:
    from edge_agent.diagnose.compiled import SUFFIX

    files: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("*.toml")) if path.is_dir() else [path]
        files += [one for one in inside if not one.name.endswith(SUFFIX)]
    if not files:
        raise BadConfig(f"{paths[0]}: no card (*.toml) in it")
    return files


def _checked(path: Path) -> dict[str, Any]:
    from edge_agent.diagnose.card_review import review
    from edge_agent.diagnose.library import load_card

    try:
        card = load_card(path)
    except BadConfig as error:
        return {"file": str(path), "errors": str(error).splitlines(), "warnings": []}
    remarks = [{"place": one.place, "text": one.text} for one in review(card)]
    facts = {"equipment": card.equipment, "signals": len(card.signals), "faults": len(card.faults)}
    return {"file": str(path), **facts, "errors": [], "warnings": remarks}


def _show(found: list[dict[str, Any]]) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for one in found:
        if one["errors"]:
            console.print(f"[bold red]error[/] {one['file']}")
        else:
            word = "[yellow]look[/] " if one["warnings"] else "[green]ok[/]   "
            console.print(
                f"{word} {one['file']}: {one['equipment']}, {one['signals']} signals, "
                f"{one['faults']} faults"
            )
        for line in one["errors"]:
            console.print(f"      {line}", markup=False)
        for remark in one["warnings"]:
            console.print(f"      {remark['place']}: {remark['text']}", markup=False)


@app.command()
def draft(
    recording: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="CSV, plain or gzipped.")
    ],
    equipment: Annotated[str, typer.Option(help="Its name in the telemetry.")] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default: print.")
    ] = None,
) -> None:
    """Draft a card from a recording: signals, units, observed ranges, and how to go on.

    Where the machine is on a broker already, `edge-agent discover` drafts cards and settings.
    """
    import numpy as np

    from edge_agent.cli.replay import equipment_name
    from edge_agent.diagnose.card_draft import SeenColumn, card_text
    from edge_agent.recording import read_recording

    seen = read_recording(recording)
    columns = [
        SeenColumn(
            name,
            seen.units.get(name, ""),
            float(np.nanmin(seen.values[:, i])),
            float(np.nanmax(seen.values[:, i])),
        )
        for i, name in enumerate(seen.columns)
    ]
    text = card_text(equipment or equipment_name(recording), seen.period_s, columns, _types())
    if output is None:
        typer.echo(text, nl=False)
        return
    if output.exists():
        raise BadConfig(f"{output}: exists already; name another file")
    output.write_text(text, encoding="utf-8")
    typer.echo(f"{output}: {len(columns)} signals; edit it, then `edge-agent card check {output}`")


def _types() -> dict[str, str]:
    """The types beside the shipped cards, where they are installed."""
    from edge_agent.diagnose.library import TYPE_FOLDERS, load_card

    folders = (root / name for root in TYPE_ROOTS for name in TYPE_FOLDERS)
    files = [path for folder in folders for path in sorted(folder.glob("*.toml"))]
    return {path.stem: load_card(path).title for path in files}


TYPE_ROOTS = (Path("/etc/edge-agent/equipment"), CARDS)


@app.command()
def schema() -> None:
    """Print the JSON Schema of cards, for editors (`#:schema …` in a TOML file)."""
    from edge_agent.diagnose.library import card_schema_text

    typer.echo(card_schema_text(), nl=False)
