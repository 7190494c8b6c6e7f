"""``edge-agent diagnose``: one diagnosis of a recording, without a broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def diagnose(
    card: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Equipment card (TOML).")],
    data: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="Recording: CSV, plain or gzipped.")
    ],
    at: Annotated[
        int | None,
        typer.Option(min=0, help="Row to look at, from 0; default: the first settled incident."),
    ] = None,
    start: Annotated[
        str, typer.Option("--from", help="Window: its first row or time (RFC 3339); with --to.")
    ] = "",
    end: Annotated[str, typer.Option("--to", help="Window: its last row or time.")] = "",
    question: Annotated[
        str, typer.Option(help="What you want to know; the model sees it as data.")
    ] = "",
    language: Annotated[str, typer.Option(help="Of the explanation: en, de.")] = "en",
    manuals: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder of manuals.")
    ] = None,
    learn: Annotated[
        int, typer.Option(min=30, help="Rows of normal operation at the start.")
    ] = 400,
    model: Annotated[str, typer.Option(help="Catalogue name or GGUF file.")] = "smollm2-135m",
    rules_only: Annotated[bool, typer.Option("--rules-only", help="Ask no model.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Diagnose a recording as the daemon would, and print the result.

    The first rows teach what is normal. Without --at the diagnosis is that of the first incident,
    as soon as its picture has settled; if there is none, that of the last row. A window (--from,
    --to) is judged as it stood at its end.

    Exit codes: 0 a diagnosis, 1 the recording cannot be diagnosed, 78 the card is wrong.
    """
    from edge_agent.config import Settings
    from edge_agent.config.detect import DetectSection
    from edge_agent.config.diagnose import DiagnoseSection
    from edge_agent.config.inference import InferenceSection
    from edge_agent.diagnose.library import load_card
    from edge_agent.oneshot import diagnose as conclude
    from edge_agent.oneshot import look, row_of, seen_since
    from edge_agent.recording import read_recording

    settings = Settings(
        detect=DetectSection(learn_rows=learn),
        inference=InferenceSection(model=model),
        diagnose=DiagnoseSection(language=language, manuals=manuals),
    )
    if bool(start) != bool(end) or (start and at is not None):
        raise typer.BadParameter("--from and --to go together, and without --at")
    the_card, recording = load_card(card), read_recording(data)
    found = look(recording, the_card, settings, row_of(recording, end) if end else at)
    finding = seen_since(found, recording, row_of(recording, start)) if start else found.finding
    diagnosis = conclude(
        finding, the_card, settings, rules_only=rules_only, question=question[:500] or None
    )
    if as_json:
        document = {"row": found.row, "incident_open": found.opened}
        typer.echo(json.dumps({**document, "diagnosis": diagnosis.model_dump(mode="json")}))
        return
    from rich.console import Console

    from edge_agent.demo.view import diagnosis_view

    console = Console()
    state = "an incident is open" if found.opened else "no incident is open"
    console.print(f"{data}, row {found.row}: {state}", highlight=False)
    console.print(diagnosis_view(diagnosis, simulated=the_card.simulated))
