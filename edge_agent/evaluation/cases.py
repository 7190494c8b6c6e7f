"""The labelled events of a data set as findings to diagnose. The diagnoser sees no name or date."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.domain.card import Card, CardSignal
from edge_agent.domain.finding import Finding, IncidentPhase
from edge_agent.evaluation.dataset import NORMAL, Dataset, Event, Run, normal_runs
from edge_agent.evaluation.detection import Verdicts, judge
from edge_agent.evaluation.onset import WINDOW_ROWS, onset_finding

LOOK_SHARE, LOOK_ROWS = 0.75, 1800
"""From its true onset an event is looked at once this share of it, or so many rows, are past."""
BASELINE_ROWS = 400
LEAST_BASELINE = 60
QUIET_STEP = 400
"""One normal window is tried in this many normal rows."""
QUIET_MAX = 4
"""Normal windows tried of one run."""
JOBS_PER_INCIDENT = 3
NAME = "machine"


@dataclass(frozen=True)
class Case:
    """Something to diagnose, and the truth."""

    run: str
    truth: frozenset[str]
    """Faults of the card that count as right; empty: no fault."""
    onset: Finding | None
    """None where nothing normal is known to compare with."""
    incident: Finding | None
    """The finding behind the last diagnosis that the user got in the event; None: no incident."""


def cases_of(dataset: Dataset, card: Card, warmup: int, *, incidents: bool) -> Iterator[Case]:
    """Every event, then some windows of normal operation."""
    donors = normal_runs(dataset)
    for run in dataset.runs():
        if run.to_failure:
            continue
        others = [one for one in donors.get(run.equipment, []) if one.name != run.name]
        strangers = [
            one for name, group in donors.items() if name != run.equipment for one in group
        ]
        verdicts = judge(run, warmup, donors.get(run.equipment, [])) if incidents else None
        for event in run.events:
            yield Case(
                run.name,
                frozenset(event.fault.split("+")),
                _from_onset(run, event, others, strangers, card),
                _from_incident(verdicts, event, card) if verdicts else None,
            )
        yield from _quiet(run, others, strangers, card)


def with_signals(card: Card, columns: tuple[str, ...]) -> Card:
    """The card with the recording's columns as signals where it names none."""
    if card.signals:
        return card
    return card.model_copy(update={"signals": {name: CardSignal() for name in columns}})


def _rows(run: Run, start: int, end: int) -> NDArray[np.float64]:
    return run.recording.values[run.first + start : run.first + end]


def _from_onset(
    run: Run, event: Event, others: list[Run], strangers: list[Run], card: Card
) -> Finding | None:
    last = event.start + min(LOOK_ROWS, max(30, int(LOOK_SHARE * (event.end - event.start))))
    last = min(event.end, last)
    between: NDArray[np.float64] | None = None
    if min(run.lead_in, event.gap) >= LEAST_BASELINE:
        normal = _rows(run, max(0, event.gap - BASELINE_ROWS), event.gap)
    elif others:
        normal, between = _donated(run, others, strangers, last)
    elif strangers:
        normal = _sister(run, event, strangers, last)
        between = np.full(len(run.recording.columns), np.inf)
    else:
        return None
    return _onset(run, normal, event.start, last, card, between)


def _between(
    others: list[Run], strangers: list[Run], rows: tuple[int, int | None]
) -> NDArray[np.float64] | None:
    """(S,) standard deviation of a machine's levels, over those rows, from one fault-free recording
    to another: its own, else the median over other machines of the kind; None where nothing
    tells."""
    columns = others[0].recording.columns
    machines: dict[str, list[Run]] = {}
    for one in (*others, *strangers):
        if one.recording.columns == columns:
            machines.setdefault(one.equipment, []).append(one)
    spreads = {
        name: np.std([_level(one, *rows) for one in runs], axis=0, ddof=1)
        for name, runs in machines.items()
        if len(runs) > 1
    }
    own = spreads.get(others[0].equipment)
    if own is not None:
        return np.asarray(own, np.float64)
    return np.asarray(np.median(list(spreads.values()), axis=0)) if spreads else None


def _sister(run: Run, event: Event, strangers: list[Run], last: int) -> NDArray[np.float64]:
    """Normal rows of other machines of the kind, each stretch as long as what is looked at and
    moved to this machine's level: only how much a signal scatters can be compared with them.
    Columns are matched by name; what a stranger does not have is NaN."""
    columns = run.recording.columns
    level = _level(run, event.start, last)
    stretches = []
    for one in strangers:
        size = min(last - event.start, len(one.truth))
        rows = _rows(one, 0, size) - _level(one, 0, size)
        found = np.full((size, len(columns)), np.nan)
        for index, name in enumerate(columns):
            if name in one.recording.columns:
                found[:, index] = rows[:, one.recording.columns.index(name)]
        stretches.append(found + level)
    return np.concatenate(stretches) if stretches else np.empty((0, len(columns)))


def _level(run: Run, start: int, end: int | None) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column may be empty
        return np.nanmedian(_rows(run, start, len(run.truth) if end is None else end), axis=0)


def _whole_days(run: Run, others: list[Run]) -> bool:
    """Whether recordings cover the same hours, row by row."""
    return all(len(one.truth) == len(run.truth) for one in others)


def _donated(
    run: Run, others: list[Run], strangers: list[Run], last: int
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Normal rows of the machine's other recordings, and how far their levels lie apart; of the
    same hours where all count whole days. The rows are the last recording's, moved to the mean
    level of all: the error of that mean is part of how far apart."""
    donor = others[-1]
    if not _whole_days(run, others):
        rows = _rows(donor, max(0, len(donor.truth) - max(BASELINE_ROWS, last)), len(donor.truth))
        return rows, _between(others, strangers, (0, None))
    hours = (max(0, last - WINDOW_ROWS), last)
    levels = np.array([_level(one, *hours) for one in others])
    apart = _between(others, strangers, hours)
    moved = _rows(donor, 0, last) + levels.mean(axis=0) - levels[-1]
    return moved, None if apart is None else apart * math.sqrt(1 + 1 / len(others))


def _onset(
    run: Run,
    normal: NDArray[np.float64],
    start: int,
    last: int,
    card: Card,
    between: NDArray[np.float64] | None = None,
) -> Finding:
    # The diagnoser sees no date: time counts from the onset.
    return onset_finding(
        NAME,
        run.recording.columns,
        normal,
        _rows(run, start, last),
        (0.0, float(last - start) * (run.recording.period_s or 1.0)),
        card,
        between,
    )


def _from_incident(verdicts: Verdicts, event: Event, card: Card) -> Finding | None:
    times = verdicts.run.recording.times[verdicts.run.first :]
    # As eval detect counts it: an incident that opens, or opens again, within the event.
    opened = next((row for row in verdicts.opened if event.gap <= row < event.end), None)
    if opened is None:
        return None
    first, last = float(times[opened]), float(times[event.end - 1])
    inside = [one for one in verdicts.findings if first <= one.at - verdicts.shift <= last]
    if not inside:
        return None
    pictures: list[Finding] = []
    for one in inside:
        if one.phase is IncidentPhase.UPDATED and all(
            one.fingerprint != seen.fingerprint for seen in pictures
        ):
            pictures.append(one)
    chosen = pictures[:JOBS_PER_INCIDENT][-1] if pictures else inside[-1]
    named = tuple(
        one.model_copy(
            update={"unit": card.signals[one.signal].unit if one.signal in card.signals else ""}
        )
        for one in chosen.evidence
    )
    return chosen.model_copy(update={"evidence": named, "equipment": NAME})


def _quiet(run: Run, others: list[Run], strangers: list[Run], card: Card) -> Iterator[Case]:
    """Windows of normal rows, compared as if a fault began in their middle; a fault-free day as
    faulty days are, with other days at the same hours."""
    stop = run.lead_in
    if others and stop == len(run.truth) and _whole_days(run, others):
        day = Event("", 0, stop, 0)
        yield Case(run.name, frozenset(), _from_onset(run, day, others, strangers, card), None)
        return
    for onset in range(BASELINE_ROWS, stop - 60, QUIET_STEP)[:QUIET_MAX]:
        if (run.truth[:onset] != NORMAL).any():
            return
        normal = _rows(run, onset - BASELINE_ROWS, onset)
        last = min(stop, onset + QUIET_STEP)
        yield Case(run.name, frozenset(), _onset(run, normal, onset, last, card), None)
