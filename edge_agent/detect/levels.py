"""The operating states that a machine took up while it was learned. Pure.

A state is a flat stretch of rows; between two of them several signals jump together within a few
rows, by far more than they move inside either. A signal that wanders shows no such thing: its
stretches are as wide as its jumps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.detect.profile import Floats, filled_rows
from edge_agent.detect.states import JUMP, NEAR, STATES_MAX, StateSignal

WINDOW, GAP = 15, 20
"""Rows before and after a jump that are compared, and rows between them for the change itself."""
LEAST_STRETCHES = 3
"""A single jump while learning may be anything; a machine with states jumps again."""
LEAST_ROWS = 30
"""A level that was held for fewer rows teaches nothing."""
RANGE_FLOOR = 0.02
"""Smallest spread of a stretch that is believed, in ranges of the signal: a jump is at least eight
times as wide, so that the steps of a coarse signal are none."""
SIGNALS_LEAST, SHARE = 2, 0.25
"""So many signals jump together, and this share of all that vary."""


def separate(rows: Floats, signal: StateSignal | None) -> tuple[Floats, Floats, Floats]:
    """(N, S) learning rows → (M, S) rows as if the machine had been in its last state all along,
    changes left out; (K, S) distance of each state's level from the last one's, itself being the
    last row; (K,) codes, NaN without a state signal. K is 1 for a machine that keeps to one."""
    values = filled_rows(rows)
    labels = _coded(values, signal) if signal is not None else _clustered(values)
    kept = np.flatnonzero(labels >= 0)
    if not len(kept):
        return rows, np.zeros((1, rows.shape[1])), np.array([np.nan])
    order = [one for one in np.unique(labels[kept]).tolist() if one != labels[kept[-1]]]
    order.append(int(labels[kept[-1]]))
    levels = np.array([np.median(values[labels == one], axis=0) for one in order])
    shifts = levels - levels[-1]
    codes = np.full(len(order), np.nan)
    if signal is not None:
        codes = levels[:, signal.index].copy()
    else:
        shifts[:, ~_jumped(values, labels, order)] = 0.0
    place = np.array([order.index(one) for one in labels[kept].tolist()])
    return rows[kept] - shifts[place], shifts, codes


def _coded(values: Floats, signal: StateSignal) -> NDArray[np.int64]:
    """(N,) number of the state that each row's code says; -1 for codes that hardly came."""
    codes, labels = np.unique(values[:, signal.index], return_inverse=True)
    counts = np.bincount(labels, minlength=len(codes))
    few = (counts < LEAST_ROWS) | (np.argsort(np.argsort(-counts)) >= STATES_MAX)
    return np.where(few[labels], -1, labels).astype(np.int64)


def _clustered(values: Floats) -> NDArray[np.int64]:
    """(N,) number of the level that each row belongs to, -1 in a change; all 0 if there is one."""
    one = np.zeros(len(values), np.int64)
    stretches = _stretches(values)
    if len(stretches) < LEAST_STRETCHES:
        return one
    spread = RANGE_FLOOR * (values.max(axis=0) - values.min(axis=0))
    means = np.array([np.median(values[a:b], axis=0) for a, b in stretches])
    widths = np.array([values[a:b].std(axis=0) for a, b in stretches])
    for before, after in zip(range(len(means)), range(1, len(means)), strict=False):
        within = np.maximum(np.maximum(widths[before], widths[after]), spread)
        if not _together(np.abs(means[after] - means[before]) >= JUMP * within, spread):
            return one
    apart = means.max(axis=0) - means.min(axis=0)
    told = (apart > 0) & (apart >= JUMP * np.maximum(widths.max(axis=0), spread))
    if not told.any():
        return one
    levels: list[Floats] = []
    labels = np.full(len(values), -1, np.int64)
    for (a, b), mean in zip(stretches, means, strict=True):
        away = [(mean[told] - level[told]) / apart[told] for level in levels]
        off = [float(np.sqrt((one * one).mean())) for one in away]
        if not off or min(off) > NEAR:
            levels.append(mean)
            off.append(0.0)
        labels[a:b] = int(np.argmin(off))
    return labels if len(levels) <= STATES_MAX else one


def _together(jumped: NDArray[np.bool_], spread: Floats) -> bool:
    varied = int((spread > 0.0).sum())
    return int(jumped.sum()) >= max(SIGNALS_LEAST, SHARE * varied)


def _stretches(values: Floats) -> list[tuple[int, int]]:
    """(first, end) of the flat stretches between jumps; the whole if nothing jumped."""
    count = len(values)
    if count < 2 * WINDOW + GAP:
        return [(0, count)]
    windows = np.lib.stride_tricks.sliding_window_view(values, WINDOW, axis=0)
    mean, width = windows.mean(axis=-1), windows.std(axis=-1)
    spread = RANGE_FLOOR * (values.max(axis=0) - values.min(axis=0))
    ahead = WINDOW + GAP
    within = np.maximum(np.maximum(width[:-ahead], width[ahead:]), spread)
    jumps = (np.abs(mean[ahead:] - mean[:-ahead]) >= JUMP * within) & (spread > 0.0)
    starts = np.flatnonzero([_together(one, spread) for one in jumps]) + WINDOW
    stretches, first = [], 0
    for start in starts.tolist():
        if start - first >= LEAST_ROWS:
            stretches.append((first, start))
        first = max(first, start + GAP)
    return [*stretches, (first, count)] if count - first >= LEAST_ROWS else stretches


def _jumped(values: Floats, labels: NDArray[np.int64], order: list[int]) -> NDArray[np.bool_]:
    """(S,) the signals that tell the levels apart; of a wanderer the level says nothing."""
    means = np.array([np.median(values[labels == one], axis=0) for one in order])
    widths = np.array([values[labels == one].std(axis=0) for one in order])
    apart = means.max(axis=0) - means.min(axis=0)
    spread = RANGE_FLOOR * (values.max(axis=0) - values.min(axis=0))
    return np.asarray((apart > 0) & (apart >= JUMP * np.maximum(widths.max(axis=0), spread)))
