"""What ``edge-agent eval diagnose`` does."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edge_agent.card import Card
from edge_agent.config import Settings
from edge_agent.config.inference import InferenceSection
from edge_agent.diagnose.library import CardLibrary, load_card
from edge_agent.errors import BadPayload
from edge_agent.evaluation.cases import cases_of, with_signals
from edge_agent.evaluation.dataset import Dataset, find_datasets
from edge_agent.evaluation.diagnosis import Complete, Facts, evaluate
from edge_agent.inference.client import WorkerClient

WORKER_MB = 2048


def report_sets(
    folder: Path, card: Path | None, warmup: int, model: str | None, *, incidents: bool
) -> list[dict[str, Any]]:
    """One report a data set that states faults. Raises ``BadConfig`` and ``BadPayload``."""
    reports = []
    with ExitStack() as stack:
        complete = _complete(stack, model) if model else None
        for dataset in find_datasets(folder):
            reports.append(_report(dataset, card, warmup, complete, incidents=incidents))
    return reports


def _report(
    dataset: Dataset, card: Path | None, warmup: int, complete: Complete | None, *, incidents: bool
) -> dict[str, Any]:
    own = dataset.folder / "equipment.json"
    if not own.is_file():
        raise BadPayload(f"{own}: missing; it states the faults that can be diagnosed")
    the_card = _card(own, card)
    columns = next((run.recording.columns for run in dataset.runs()), ())
    the_card = with_signals(the_card, columns)
    cases = cases_of(dataset, the_card, warmup, incidents=incidents)
    facts = Facts.read(own.read_text(encoding="utf-8"))
    return evaluate(dataset.name, cases, the_card, facts, Settings().diagnose, complete)


def _card(own: Path, card: Path | None) -> Card:
    """The named card; the one of the named folder that describes this equipment; else its own."""
    minimal = load_card(own)
    if card is None:
        return minimal
    if card.is_file():
        return load_card(card)
    name = minimal.equipment
    found = CardLibrary.load(card)
    return found.for_equipment(name) or found.for_equipment(name.replace("_", "-")) or minimal


def _complete(stack: ExitStack, model: str) -> Complete:
    settings = Settings(inference=InferenceSection(model=model))
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-agent-")))
    client = WorkerClient(
        settings.inference,
        runtime_dir=folder,
        models_dir=settings.inference.models_dir or settings.store.state_dir / "models",
        memory_limit_mb=lambda: WORKER_MB,
    )
    stack.callback(client.close, 0.0)
    return lambda request: client.complete(request, lambda: False)


def show(reports: list[dict[str, Any]]) -> None:
    """Tables for people."""
    from rich.console import Console
    from rich.table import Table

    keys = (
        "top1",
        "top3",
        "macro_top1",
        "undetermined",
        "right_when_diagnosed",
        "brier",
        "ece",
    )
    console = Console()
    for report in reports:
        console.print(f"\n{report['name']}: {report['events']} events", highlight=False)
        table = Table(box=None, pad_edge=False, header_style="dim")
        for title in ("by", "from", *keys):
            table.add_column(title.replace("_", " "))
        for way in ("rules", "model", "combined", "indistinguishable_as_one"):
            for view, row in report.get(way, {}).items():
                table.add_row(way.replace("_", " "), view, *(str(row.get(key)) for key in keys))
        console.print(table)
        for view, row in report["rules"].items():
            for truth, answers in row.get("confusion", {}).items():
                said = ", ".join(f"{name} {count}" for name, count in answers.items())
                console.print(f"  {view:8} {truth}: {said}", highlight=False)
        console.print(
            f"  undetermined in {report['normal_undetermined']} of "
            f"{report['normal_windows']} normal windows",
            highlight=False,
        )
