"""``edge-agent card compile``: the texts of a card, read once into a symptom table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from edge_agent.diagnose.compiled import CompiledCard
    from edge_agent.domain.card import Card, CellReading
    from edge_agent.fault_reader import ModelReader

UNSURE = 0.7
"""A cell whose likeliest word has less is marked: look at the text, or set the cell yourself."""
MARKS = {
    "up": "↑ rises",
    "down": "↓ falls",
    "same": "= stays",
    "noisy": "~ fluctuates",
    "stuck": "■ sticks",
}
STYLES = {"up": "red", "down": "blue", "same": "green", "noisy": "magenta", "stuck": "yellow"}
ModelsDir = Annotated[Path, typer.Option(help="Where added models and adapters lie.")]
MODELS = Path("/var/lib/edge-agent/models")


def compile_card(
    card: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Card (TOML).")],
    model: Annotated[str, typer.Option(help="Catalogue name or GGUF file.")] = "smollm2-135m",
    adapter: Annotated[
        str | None, typer.Option(help="Adapter; 'none' for none; default: the catalogue's.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Store without asking.")] = False,
    why: Annotated[bool, typer.Option(help="Show the words that decided; reads more.")] = True,
    models_dir: ModelsDir = MODELS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Have the model read each fault's text into a symptom table, and store it beside the card.

    Only texts that changed since the last time are read. The table is yours to edit: it is TOML,
    and a cell may be set to a plain symptom. Formal symptoms of the card win over it. From then on
    a diagnosis ranks the faults by the table; the model's tokens go into wording alone.
    """
    from edge_agent.diagnose.compiled import as_toml, load_compiled, table_path
    from edge_agent.diagnose.library import load_card
    from edge_agent.fault_reader import compile_card as read_card
    from edge_agent.fault_reader import open_reader, to_read

    the_card = load_card(card)
    if not the_card.faults or not the_card.signals:
        from edge_agent.errors import BadConfig

        raise BadConfig(f"{card}: a card without faults or signals has nothing to be read")
    path = table_path(card)
    known = load_compiled(path)
    name = "" if adapter == "none" else adapter
    with open_reader(model, name, models_dir) as reader:
        fresh = [fault.id for fault in to_read(the_card, known, reader.about)]
        with _progress(len(fresh), as_json) as advance:
            compiled = read_card(the_card, known, reader, advance)
        words = _words(the_card, compiled, reader, fresh) if why else {}
    if as_json:
        typer.echo(json.dumps(_report(path, the_card, compiled, fresh, words)))
    else:
        _show(the_card, compiled, fresh, words)
    if not fresh:
        return
    if not yes and not as_json and not typer.confirm(f"Store this as {path}?", default=True):
        raise typer.Exit(1)
    path.write_text(as_toml(compiled, card.name), encoding="utf-8")
    typer.echo(f"stored: {path}", err=True)


def _progress(count: int, quiet: bool) -> Any:  # noqa: ANN401 -- a context manager
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import Progress

    @contextmanager
    def bar() -> Any:  # noqa: ANN401
        with Progress(console=Console(stderr=True), transient=True, disable=quiet) as progress:
            task = progress.add_task("reading fault texts", total=count)
            yield lambda done: progress.advance(task, done)

    return bar()


def _words(
    card: Card, compiled: CompiledCard, reader: ModelReader, fresh: list[str]
) -> dict[str, dict[str, str]]:
    from edge_agent.fault_reader import decisive_words

    return {
        fault.id: dict(decisive_words(card, fault, compiled.faults[fault.id], reader))
        for fault in card.faults
        if fault.id in fresh
    }


def _report(
    path: Path,
    card: Card,
    compiled: CompiledCard,
    fresh: list[str],
    words: dict[str, dict[str, str]],
) -> dict[str, Any]:
    from edge_agent.fault_reader import doubts

    return {
        "file": str(path),
        "read": fresh,
        **compiled.model_dump(mode="json"),
        "decided_by": words,
        "doubts": doubts(card, compiled),
    }


def _show(
    card: Card, compiled: CompiledCard, fresh: list[str], words: dict[str, dict[str, str]]
) -> None:
    from rich.console import Console

    from edge_agent.fault_reader import doubts as unreadable

    console = Console()
    console.print(table_of(card, compiled))
    console.print(
        f"? less sure than {UNSURE:.0%}; * formal, from the card; ! set by you. A signal that a "
        "fault's text does not mention is not shown.",
        style="dim",
    )
    doubts = [
        (fault, signal, clause)
        for fault, cells in words.items()
        for signal, clause in cells.items()
        if _unsure(compiled.faults[fault].signals.get(signal))
        and signal not in next(one.symptoms for one in card.faults if one.id == fault)
    ]
    if doubts:
        console.print("The words behind what it is not sure of:")
    for fault, signal, clause in doubts:
        console.print(f"  {fault}, {signal}: “{clause}”", highlight=False, markup=False)
    for doubt in unreadable(card, compiled):
        console.print(f"! {doubt}", style="yellow", highlight=False, markup=False)
    console.print(_trust(compiled, fresh), highlight=False)


def _trust(compiled: CompiledCard, fresh: list[str]) -> str:
    reader = compiled.reader
    if not reader.adapter:
        trust = "No adapter: without one a small model guesses. Set every cell yourself."
    elif reader.reliability is None:
        trust = f"The adapter {reader.adapter} states no accuracy. Look the table over."
    else:
        trust = (
            f"{reader.model} with {reader.adapter} reads {reader.reliability:.0%} of the cells of "
            "machines that it has never seen rightly. Look the table over."
        )
    return trust if fresh else f"{trust} No text has changed: nothing was read."


def table_of(card: Card, compiled: CompiledCard) -> Table:
    """A row a fault: which signals rise, fall, stay, fluctuate or stick by its text."""
    from rich.table import Table

    table = Table(title=card.title or card.equipment)
    table.add_column("fault", overflow="fold")
    table.add_column("what its text says", overflow="fold", ratio=1)
    table.add_column("comes")
    for fault in card.faults:
        entry = compiled.faults.get(fault.id)
        said: dict[str, list[str]] = {word: [] for word in MARKS}
        for name in card.signals:
            cell = entry.signals.get(name) if entry is not None else None
            word, mark = _cell(fault.symptoms.get(name), cell)
            if word in said:
                said[word].append(name + mark)
        lines = [
            f"[{STYLES[word]}]{MARKS[word]}[/] {', '.join(names)}"
            for word, names in said.items()
            if names
        ]
        speed = entry.speed if entry is not None else {}
        read = max(speed, key=lambda word: speed[word]) if speed else "none"
        comes = fault.development or read.replace("none", "")
        table.add_row(fault.id, "\n".join(lines), comes)
    return table


def _cell(formal: str | None, cell: CellReading | None) -> tuple[str, str]:
    """(word, mark of where it is from) of one cell; ``none`` where nothing is said."""
    from edge_agent.domain.card import SYMPTOM_WORDS, symptom_parts

    if formal is not None or isinstance(cell, str):
        word = SYMPTOM_WORDS[symptom_parts(str(formal or cell))[1]]
        plain = {"normal": "same", "frozen": "stuck"}.get(word, word)
        return plain, "*" if formal is not None else "!"
    if not cell:
        return "none", ""
    return max(cell, key=lambda word: cell[word]), "?" if _unsure(cell) else ""


def _unsure(cell: CellReading | None) -> bool:
    return isinstance(cell, dict) and max(cell.values(), default=1.0) < UNSURE
