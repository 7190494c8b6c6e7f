"""What ``edge-agent eval diagnose`` does."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_agent.config import Settings
from edge_agent.config.inference import InferenceSection
from edge_agent.diagnose.calibration import fit_in_use, shipped_calibration, shipped_held_out
from edge_agent.diagnose.library import CardLibrary, load_card
from edge_agent.domain.card import Calibration, Card
from edge_agent.errors import BadPayload
from edge_agent.evaluation.calibrating import Sample, samples_of, write_fit
from edge_agent.evaluation.cases import Case, cases_of, with_signals
from edge_agent.evaluation.dataset import Dataset, find_datasets
from edge_agent.evaluation.diagnosis import POOLED, VIEWS, Complete, Facts, evaluate
from edge_agent.evaluation.reliability import pooled
from edge_agent.inference.client import WorkerClient

WORKER_MB = 2048


@dataclass(frozen=True)
class Loaded:
    """A data set's cases, once and for all that is made of them."""

    name: str
    card: Card
    facts: Facts
    cases: tuple[Case, ...]
    written: bool
    """Whether somebody wrote a card for it; a catalogue alone teaches no calibration."""


def report_sets(
    folder: Path,
    card: Path | None,
    warmup: int,
    model: str | None,
    *,
    incidents: bool,
    fit_to: Path | None = None,
) -> list[dict[str, Any]]:
    """One report a data set that states faults. ``fit_to``: fit the calibration on all that have a
    written card and write it there; each set is then judged by what the others gave, beside the
    calibration in use. Raises ``BadConfig`` and ``BadPayload``."""
    loaded = [_load(one, card, warmup, incidents=incidents) for one in find_datasets(folder)]
    held_out = write_fit(_samples(loaded), fit_to) if fit_to else shipped_held_out()
    with ExitStack() as stack:
        complete = _complete(stack, model) if model else None
        return [_report(one, complete, held_out.get(one.name)) for one in loaded]


def _load(dataset: Dataset, card: Path | None, warmup: int, *, incidents: bool) -> Loaded:
    own = dataset.folder / "equipment.json"
    if not own.is_file():
        raise BadPayload(f"{own}: missing; it states the faults that can be diagnosed")
    minimal = load_card(own)
    found = _card(minimal, card)
    columns = next((run.recording.columns for run in dataset.runs()), ())
    the_card = with_signals(found, columns)
    cases = tuple(cases_of(dataset, the_card, warmup, incidents=incidents))
    facts = Facts.read(own.read_text(encoding="utf-8"))
    return Loaded(dataset.name, the_card, facts, cases, found is not minimal)


def _samples(loaded: Sequence[Loaded]) -> dict[str, list[Sample]]:
    found = {
        one.name: [
            sample
            for case in one.cases
            for sample in samples_of(case, one.card, one.facts.without_cause)
        ]
        for one in loaded
        if one.written
    }
    if not any(sample.kind == "fault" for samples in found.values() for sample in samples):
        raise BadPayload("no labelled fault of a written card to fit on; name it with --card")
    return found


def _report(one: Loaded, complete: Complete | None, held_out: Calibration | None) -> dict[str, Any]:
    settings = Settings().diagnose
    own = one.card.calibration is not None
    if fit_in_use() and held_out is not None and not own:
        # No set is judged by a fit that has seen it.
        one = replace(one, card=one.card.model_copy(update={"calibration": held_out}))
    report = evaluate(one.name, one.cases, one.card, one.facts, settings, complete, held_out)
    used = one.card.calibration or shipped_calibration()
    refitted = held_out.model_dump() if held_out else None
    return {**report, "calibration": used.model_dump(), "refitted_on_others": refitted}


def _card(minimal: Card, card: Path | None) -> Card:
    """The named card; the one of the named folder that describes this equipment; else its own."""
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
        models_dir=settings.models_dir,
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
        "ece_by_chance",
    )
    console = Console()
    for report in reports:
        console.print(f"\n{report['name']}: {report['events']} events", highlight=False)
        table = Table(box=None, pad_edge=False, header_style="dim")
        for title in ("by", "from", *keys):
            table.add_column(title.replace("_", " "))
        for way in ("rules", "rules_refitted", "model", "combined", "indistinguishable_as_one"):
            for view, row in report.get(way, {}).items():
                table.add_row(way.replace("_", " "), view, *(_figure(row.get(key)) for key in keys))
        console.print(table)
        for view, row in report["rules"].items():
            for truth, answers in row.get("confusion", {}).items():
                said = ", ".join(f"{name} {count}" for name, count in answers.items())
                console.print(f"  {view:8} {truth}: {said}", highlight=False)
        console.print(
            f"  undetermined in {_figure(report['normal_undetermined'])} of "
            f"{report['normal_windows']} normal windows",
            highlight=False,
        )
        console.print(
            f"  calibration {_said(report['calibration'])}; refitted on other sets: "
            f"{_said(report['refitted_on_others'])}",
            highlight=False,
        )
    if len(reports) > 1:
        for way, views in pooled(reports, POOLED, VIEWS).items():
            said = ", ".join(
                f"from {view} {row['ece']:.3f} ({row['ece_by_chance']:.3f} by chance)"
                for view, row in views.items()
            )
            console.print(f"calibration error over all sets, {way}: {said}", highlight=False)


def _figure(value: float | None) -> str:
    """A share with two digits; a dash where there was nothing to measure."""
    return "–" if value is None else f"{value:.2f}"


def _said(by: dict[str, float] | None) -> str:
    if by is None:
        return "none"
    return ", ".join(f"{name} {value:g}" for name, value in by.items())
