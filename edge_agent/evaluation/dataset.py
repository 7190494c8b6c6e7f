"""Labelled recordings: a folder with ``data/*.csv.gz``, ``labels.csv`` and ``equipment.json``.

``labels.csv`` has ``file,start_row,end_row,fault,severity,equipment`` among its columns; rows are
0-based, ``end_row`` exclusive. What no label covers is normal; ``unlabelled`` rows are not scored.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import BadPayload
from edge_agent.recording import Recording, read_recording

NORMAL, FAULT, UNSCORED = 0, 1, -1
RUN_TO_FAILURE = "run to failure"
HORIZON_ROWS = 30
"""A machine that ran to failure must have been warned of this many rows before its end."""


@dataclass(frozen=True)
class Label:
    """One line of ``labels.csv``."""

    file: str
    start: int
    end: int
    fault: str
    severity: str
    equipment: str


@dataclass(frozen=True)
class Event:
    """One fault: labelled stretches of the same fault with nothing but unlabelled rows between."""

    fault: str
    start: int
    end: int
    gap: int
    """First row of the unlabelled stretch that leads into it; ``start`` where there is none."""


@dataclass(frozen=True)
class Run:
    """A stretch of one machine's recording, with its truth. Rows count from the run's start."""

    name: str
    equipment: str
    recording: Recording
    first: int
    """Where the run starts in the recording."""
    truth: NDArray[np.int8]
    """(rows,) ``NORMAL``, ``FAULT`` or ``UNSCORED``."""
    events: tuple[Event, ...]
    to_failure: bool = False

    @property
    def lead_in(self) -> int:
        """Normal rows before anything else."""
        return min((event.gap for event in self.events), default=len(self.truth))


@dataclass(frozen=True)
class Dataset:
    """A folder's runs; recordings are read one at a time."""

    name: str
    folder: Path
    labels: tuple[Label, ...]

    def runs(self) -> Iterator[Run]:
        """Every run, in the order of the file names."""
        for path in sorted((self.folder / "data").glob("*.csv*")):
            recording = read_recording(path)
            yield from _runs(recording, [one for one in self.labels if one.file == path.name])


def find_datasets(folder: Path) -> list[Dataset]:
    """The data set at ``folder``, or those below it. Raises ``BadPayload`` if there is none."""
    if (folder / "labels.csv").is_file():
        folders = [folder]
    else:
        folders = sorted(path.parent for path in folder.glob("*/labels.csv"))
    if not folders:
        raise BadPayload(
            f"{folder}: no labels.csv here or one level below; name a data set's folder"
        )
    return [Dataset(one.resolve().name, one, _labels(one / "labels.csv")) for one in folders]


def _labels(path: Path) -> tuple[Label, ...]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    try:
        return tuple(
            Label(
                file=line["file"],
                start=int(line["start_row"]),
                end=int(line["end_row"]),
                fault=line["fault"],
                severity=line.get("severity") or "",
                equipment=line["equipment"],
            )
            for line in lines
        )
    except (KeyError, ValueError) as error:
        raise BadPayload(
            f"{path}: {error}; each line needs file, start_row, end_row, fault and equipment"
        ) from None


def _runs(recording: Recording, labels: list[Label]) -> Iterator[Run]:
    rows = len(recording.times)
    file = recording.path.name
    if not labels:
        equipment = file.split(".")[0]
        yield Run(file, equipment, recording, 0, np.zeros(rows, np.int8), ())
        return
    if all(one.severity == RUN_TO_FAILURE for one in labels):
        for one in labels:
            yield _life(recording, one)
        return
    labels.sort(key=lambda one: one.start)
    truth = np.zeros(rows, np.int8)
    for one in labels:
        kind = {"normal": NORMAL, "unlabelled": UNSCORED}.get(one.fault, FAULT)
        truth[one.start : one.end] = kind
    yield Run(file, labels[0].equipment, recording, 0, truth, _events(labels))


def _events(labels: list[Label]) -> tuple[Event, ...]:
    """Labels in time order → events."""
    events: list[Event] = []
    gap: Label | None = None
    for label in labels:
        if label.fault == "normal":
            continue
        if label.fault == "unlabelled":
            gap = label
            continue
        gap_start = gap.start if gap is not None and gap.end == label.start else label.start
        last = events[-1] if events else None
        if last is not None and last.fault == label.fault and last.end >= gap_start:
            events[-1] = Event(last.fault, last.start, label.end, last.gap)
        else:
            events.append(Event(label.fault, label.start, label.end, gap_start))
    return tuple(events)


def _life(recording: Recording, label: Label) -> Run:
    """One machine from new to failure: its first third is normal, its last rows are faulty, and
    between them nobody knows."""
    rows = label.end - label.start
    truth = np.full(rows, UNSCORED, np.int8)
    truth[: rows // 3] = NORMAL
    truth[max(0, rows - HORIZON_ROWS) :] = FAULT
    event = Event(label.fault, rows - HORIZON_ROWS, rows, rows // 3)
    return Run(
        f"{label.file}:{label.equipment}",
        label.equipment,
        recording,
        label.start,
        truth,
        (event,),
        to_failure=True,
    )


def normal_runs(dataset: Dataset) -> dict[str, list[Run]]:
    """Fault-free runs by equipment: whose baseline a run without a lead-in may take."""
    files = {
        file
        for file, group in groupby(
            sorted(dataset.labels, key=lambda one: one.file), lambda one: one.file
        )
        if all(one.fault == "normal" for one in group)
    }
    found: dict[str, list[Run]] = {}
    for file in sorted(files):
        path = dataset.folder / "data" / file
        if path.is_file():
            labels = [one for one in dataset.labels if one.file == file]
            for run in _runs(read_recording(path), labels):
                found.setdefault(run.equipment, []).append(run)
    return found
