"""How well incidents match the labels: through the very detection that the daemon runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.config.detect import DetectSection
from edge_agent.detect.detection import Detection
from edge_agent.evaluation.dataset import Run, read_dataset
from edge_agent.finding import IncidentPhase
from edge_agent.telemetry import Reading

WARMUP = 400
LEAST_WARMUP = 30
EQUIPMENT = "machine"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What detection said of one run."""

    run: Run
    warmup: int
    open: NDArray[np.bool_]
    """(rows,) an incident was open after this row."""
    opened: tuple[int, ...]
    """Rows in which an incident opened."""
    score: NDArray[np.float64]


def watch(run: Run, warmup: int) -> Verdict:
    """Stream one run; the first ``warmup`` rows teach, fewer where a fault starts earlier."""
    first = min((event.start for event in run.events), default=len(run.faulty))
    learn = max(LEAST_WARMUP, min(warmup, first))
    period = run.recording.period_s or 1.0
    settings = DetectSection(learn_rows=learn, row_s=min(3600.0, max(0.01, period)))
    detection = Detection(settings, lambda _name: None, "eval")
    rows = len(run.faulty)
    is_open, score = np.zeros(rows, np.bool_), np.zeros(rows)
    opened: list[int] = []
    now_open = False
    for number, (at, values) in enumerate(run.recording.rows()):
        readings = [Reading(EQUIPMENT, name, value, at) for name, value in values.items()]
        for finding in detection.observe(readings):
            if finding.phase is IncidentPhase.CLOSED:
                now_open = False
            elif not now_open:
                now_open = True
                opened.append(number)
        is_open[number] = now_open
        status = detection.status().get(EQUIPMENT)
        score[number] = status.score if status else 0.0
    return Verdict(run, learn, is_open, tuple(opened), score)


def figures(name: str, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Point F1, FAR and MAR in %, events found, false incidents and delay over a set."""
    hit = miss = false = quiet = false_incidents = 0
    delays: list[int] = []
    events = 0
    for verdict in verdicts:
        faulty, scored = verdict.run.faulty, verdict.run.scored.copy()
        scored[: verdict.warmup] = False
        hit += int((verdict.open & faulty & scored).sum())
        miss += int((~verdict.open & faulty & scored).sum())
        false += int((verdict.open & ~faulty & scored).sum())
        quiet += int((~verdict.open & ~faulty & scored).sum())
        false_incidents += sum(bool(~faulty[row] and scored[row]) for row in verdict.opened)
        for event in verdict.run.events:
            events += 1
            inside = [row for row in verdict.opened if event.start <= row < event.end]
            if inside:
                delays.append(inside[0] - event.start)
    return {
        "name": name,
        "f1": round(2 * hit / max(1, 2 * hit + false + miss), 3),
        "far": round(100 * false / max(1, false + quiet), 2),
        "mar": round(100 * miss / max(1, hit + miss), 2),
        "events": events,
        "events_found": len(delays),
        "false_incidents_per_1000": round(1000 * false_incidents / max(1, false + quiet), 3),
        "median_delay_rows": median(delays) if delays else None,
        "runs": len(verdicts),
    }


def evaluate(
    folder: Path, *, warmup: int = WARMUP, progress: Callable[[str], None] = lambda _: None
) -> tuple[dict[str, Any], list[Verdict]]:
    """Figures of one data set, with the verdict on each of its runs. Fault-free runs are named
    apart as well, in ``fault_free_far``."""
    verdicts = []
    for run in read_dataset(folder):
        progress(run.path.name)
        verdicts.append(watch(run, warmup))
    faulty = [one for one in verdicts if one.run.events]
    calm = [one for one in verdicts if not one.run.events]
    result = figures(folder.name, faulty or verdicts)
    result["fault_free_far"] = figures(folder.name, calm)["far"] if calm else None
    return result, verdicts
