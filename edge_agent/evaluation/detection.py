"""How well detection finds labelled faults, streamed row by row through the daemon's own class."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.config.detect import DetectSection
from edge_agent.detect.detection import Detection
from edge_agent.domain.finding import Finding, IncidentPhase
from edge_agent.domain.telemetry import Reading
from edge_agent.evaluation.dataset import FAULT, NORMAL, UNSCORED, Dataset, Run, normal_runs

LEAST_LEARN = 30
"""The fewest rows that the settings allow to learn from."""
LIFE_LEARN = 40
"""Rows that a machine that runs to failure is learned from."""
SHORT_LEAD_IN, ROWS_PER_SIGNAL = 100, 4
"""A lead-in shorter than this, or than so many rows a signal, cannot teach how the signals hang
together: then the baseline comes from a fault-free run of the same machine, if there is one."""

FALSE_RATE = "false_incidents_per_1000"


@dataclass(frozen=True)
class Verdicts:
    """What the pipeline said of one run."""

    run: Run
    learned_from: str
    """``own``, or the name of the fault-free run."""
    scored_from: int
    alarm: NDArray[np.bool_]
    """(rows,) an incident is open once this row has been judged."""
    score: NDArray[np.float64]
    """(rows,) 1.0 opens."""
    opened: tuple[int, ...]
    """Rows in which an incident opened or reopened."""
    findings: tuple[Finding, ...]
    shift: float = 0.0
    """Seconds that were added to the recording's times."""
    states: tuple[str, ...] = ()
    """(rows,) the operating state once this row has been judged."""


@dataclass
class Tally:
    """Counts over the runs of a set."""

    true_rows: int = 0
    false_rows: int = 0
    normal_rows: int = 0
    faulty_rows: int = 0
    events: int = 0
    found: int = 0
    false_incidents: int = 0
    early: int = 0
    """Runs to failure with an incident in their first third."""
    delays: list[int] = field(default_factory=list)
    missed_rates: list[float] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """Rates in %, rows and shares as the design names them."""
        missed = self.faulty_rows - self.true_rows
        wrong = 2 * self.true_rows + self.false_rows + missed
        normal = max(1, self.normal_rows)
        return {
            "f1": round(2 * self.true_rows / wrong, 4) if wrong else 0.0,
            "far": round(100 * self.false_rows / normal, 2),
            "mar": round(100 * missed / max(1, self.faulty_rows), 2),
            "events": self.events,
            "events_found": self.found,
            "false_incidents": self.false_incidents,
            "false_incidents_per_1000": round(1000 * self.false_incidents / normal, 3),
            "median_delay_rows": median(self.delays) if self.delays else None,
            "mean_missed": round(float(np.mean(self.missed_rates)), 4)
            if self.missed_rates
            else None,
            "normal_rows": self.normal_rows,
            "faulty_rows": self.faulty_rows,
            "lives_with_early_warning": self.early,
        }


def judge_set(
    dataset: Dataset, warmup: int, leave_out: Callable[[Run], None] = lambda _run: None
) -> Iterator[Verdicts]:
    """The verdicts on each run of a set that something normal could be learned for; ``leave_out``
    is told of the others."""
    donors = normal_runs(dataset)
    for run in dataset.runs():
        verdicts = judge(run, warmup, donors.get(run.equipment, []))
        if verdicts is None:
            leave_out(run)
        else:
            yield verdicts


def judge(run: Run, warmup: int, donors: list[Run]) -> Verdicts | None:
    """Stream one run; None if there is nothing normal to learn from."""
    enough = max(SHORT_LEAD_IN, ROWS_PER_SIGNAL * len(run.recording.columns))
    others = [one for one in donors if one.name != run.name]
    if run.to_failure:
        return _stream(run, LIFE_LEARN, None)
    if run.lead_in < enough and others:
        donor = _nearest(run, others)
        return _stream(run, min(warmup, len(donor.truth)), donor)
    learn = min(warmup, run.lead_in)
    return _stream(run, learn, None) if learn >= LEAST_LEARN else None


def _nearest(run: Run, donors: list[Run]) -> Run:
    """The last fault-free run before this one, or else the first one."""
    start = run.recording.times[run.first]
    before = [one for one in donors if one.recording.times[0] < start]
    return max(before, key=lambda one: one.recording.times[0]) if before else donors[0]


def _stream(run: Run, learn: int, donor: Run | None) -> Verdicts:
    settings = DetectSection(learn_rows=learn, max_signals=max(1, len(run.recording.columns)))
    detection = Detection(settings, lambda _: None, "evaluation")
    shift = 0.0
    if donor is not None:
        for readings in rows_of(donor, 0.0):
            detection.observe(readings)
        step = donor.recording.period_s or 1.0
        shift = float(donor.recording.times[-1] + step - run.recording.times[run.first])
    rows = len(run.truth)
    alarm, score = np.zeros(rows, np.bool_), np.zeros(rows)
    opened: list[int] = []
    findings: list[Finding] = []
    states: list[str] = []
    state = detection.status().get(run.equipment)
    is_open = state is not None and state.incident_id is not None
    for row, readings in enumerate(rows_of(run, shift)):
        for finding in detection.observe(readings):
            now_open = finding.phase is not IncidentPhase.CLOSED
            if now_open and not is_open:
                opened.append(row)
            is_open = now_open
            findings.append(finding)
        alarm[row] = is_open
        score[row] = detection.score(run.equipment)
        states.append(detection.operating_state(run.equipment))
    name = donor.name if donor else "own"
    scored_from = 0 if donor else learn
    return Verdicts(
        run,
        name,
        scored_from,
        alarm,
        score,
        tuple(opened),
        tuple(findings),
        shift,
        tuple(states),
    )


def rows_of(run: Run, shift: float) -> Iterator[list[Reading]]:
    """The run's rows as readings; holes are left out. ``shift`` moves their times."""
    recording = run.recording
    rows = slice(run.first, run.first + len(run.truth))
    times = recording.times[rows]
    if len(times) > 1 and float(np.median(np.diff(times))) <= 0:
        # No clock, only a counter that stands still (a machine's number): rows are its clock.
        times = np.arange(len(times), dtype=np.float64)
    for at, values in zip(times.tolist(), recording.values[rows].tolist(), strict=True):
        yield [
            Reading(run.equipment, name, value, at + shift)
            for name, value in zip(recording.columns, values, strict=True)
            if value == value  # noqa: PLR0124 - NaN is a hole
        ]


def tally(verdicts: Iterable[Verdicts]) -> Tally:
    """Sum up; rows before ``scored_from`` and unscored ones count nowhere."""
    total = Tally()
    for one in verdicts:
        truth = one.run.truth.copy()
        truth[: one.scored_from] = UNSCORED
        normal, faulty = truth == NORMAL, truth == FAULT
        total.normal_rows += int(normal.sum())
        total.faulty_rows += int(faulty.sum())
        total.false_rows += int((one.alarm & normal).sum())
        total.true_rows += int((one.alarm & faulty).sum())
        wrongly = [row for row in one.opened if truth[row] == NORMAL]
        total.false_incidents += len(wrongly)
        if faulty.any():
            total.missed_rates.append(1.0 - float(one.alarm[faulty].mean()))
        if one.run.to_failure:
            _count_life(total, one, bool(wrongly))
        else:
            _count_events(total, one)
    return total


def _count_events(total: Tally, one: Verdicts) -> None:
    for event in one.run.events:
        total.events += 1
        inside = [row for row in one.opened if event.gap <= row < event.end]
        if inside:
            total.found += 1
            total.delays.append(max(0, inside[0] - event.start))


def _count_life(total: Tally, one: Verdicts, early: bool) -> None:
    """Found: warned while the horizon still lay ahead, and warned still or again within it."""
    horizon = one.run.events[0].start
    total.events += 1
    total.early += early
    warnings = [row for row in one.opened if one.run.events[0].gap <= row <= horizon]
    if warnings:
        total.found += 1
        total.delays.append(warnings[0] - horizon)


def half_of(name: str) -> str:
    """``A`` or ``B``: the halves into which the runs fall by nothing but their names. Constants
    are chosen on half A alone; what half B says was not looked at for it."""
    return "AB"[zlib.crc32(name.encode()) & 1]


def report_set(
    dataset: Dataset, verdicts: list[Verdicts], left_out: Sequence[Run] = ()
) -> dict[str, Any]:
    """One entry of ``sets``. ``left_out``: runs without anything normal to learn
    from. The headline figures are over runs that hold an event; runs without one are told apart,
    since hours of them would thin out any false alarm rate."""
    with_events = [one for one in verdicts if one.run.events]
    without = [one for one in verdicts if not one.run.events]
    own = [one for one in with_events if one.learned_from == "own"]
    head = tally(with_events or verdicts).report()
    if with_events and not head["normal_rows"] and without:
        # Whole files are faulty: their normal rows are those of the fault-free runs.
        head = tally(verdicts).report()
    lead_in, free, whole = tally(own), tally(without), tally(verdicts)
    return {
        "name": dataset.name,
        **head,
        "runs": len(verdicts),
        "runs_left_out": [run.name for run in left_out],
        "events_left_out": sum(len(run.events) for run in left_out),
        "halves": {
            half: _brief(tally(one for one in with_events if half_of(one.run.name) == half))
            for half in "AB"
        },
        "all_runs": {key: _brief(whole)[key] for key in ("f1", "far", "mar", FALSE_RATE)},
        "fault_free_runs": len(without),
        "fault_free_far": free.report()["far"] if without else None,
        "events_with_lead_in": lead_in.events,
        "events_with_lead_in_found": lead_in.found,
    }


def _brief(counted: Tally) -> dict[str, Any]:
    """The figures by which halves of a set are compared."""
    keys = ("f1", "far", "mar", "mean_missed", "events", "events_found", FALSE_RATE)
    report = counted.report()
    return {key: report[key] for key in keys}
