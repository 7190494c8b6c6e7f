"""A labelled data set: a folder with ``data/*.csv.gz``, ``labels.csv`` and ``equipment.json``."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import BadConfig
from edge_agent.recording import Recording, read_recording

NORMAL = "normal"
UNLABELLED = "unlabelled"


@dataclass(frozen=True, slots=True)
class Label:
    """Rows ``start`` to ``end`` (exclusive) of a file, and what went wrong there."""

    start: int
    end: int
    fault: str


@dataclass(frozen=True, slots=True)
class Run:
    """One recording with its labels."""

    path: Path
    recording: Recording
    events: tuple[Label, ...]
    scored: NDArray[np.bool_]
    """(rows,) False where no label says what the machine did."""

    @property
    def faulty(self) -> NDArray[np.bool_]:
        """(rows,) True inside an event."""
        rows = np.zeros(len(self.recording.times), np.bool_)
        for event in self.events:
            rows[event.start : event.end] = True
        return rows


def read_dataset(folder: Path) -> list[Run]:
    """Every labelled run of ``folder``. Raises ``BadConfig`` where it is no data set."""
    try:
        with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        labels = [
            (row["file"], Label(int(row["start_row"]), int(row["end_row"]), row["fault"]))
            for row in rows
        ]
    except (OSError, KeyError, ValueError) as error:
        raise BadConfig(f"{folder}: labels.csv cannot be read: {error!r}") from None
    runs = []
    for path in sorted((folder / "data").glob("*.csv.gz")):
        own = [label for name, label in labels if name == path.name]
        recording = read_recording(path)
        scored = np.ones(len(recording.times), np.bool_)
        for label in own:
            if label.fault == UNLABELLED:
                scored[label.start : label.end] = False
        events = tuple(one for one in own if one.fault not in (NORMAL, UNLABELLED))
        runs.append(Run(path, recording, events, scored))
    return runs
