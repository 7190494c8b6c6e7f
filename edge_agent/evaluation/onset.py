"""Evidence from a true onset: what a diagnoser could know with perfect detection. Pure.

Each signal's level before the onset is compared with its level in the rows after it. The yardstick
is how far two such stretches of *normal* rows lie apart, so that a temperature that wanders by
itself is not called a symptom: σ² = var(difference of two window means) over the normal rows, and
at least the scatter of single rows over √w.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_agent.domain.card import Card
from edge_agent.domain.finding import (
    Direction,
    Finding,
    IncidentPhase,
    Shape,
    SignalEvidence,
    Window,
)

Floats = NDArray[np.float64]

WINDOW_ROWS = 60
"""Rows whose mean is a level."""
LEAST_SIGMA = 4.0
NOISY_RATIO = 2.5
"""Ratio of the scatter around a running mean to its normal one that counts as noisy."""
SINGLE_ROW_SHARE = 0.25
"""A shift smaller than this many standard deviations of single rows is no symptom, however sure."""
SWINGS = 4
"""Changes of side that make an oscillation: two periods."""
RESTS = 10
"""A signal is frozen once it stands still so many times longer than it ever did."""
ABSURD = 1e15
EVIDENCE_MAX = 60


def onset_finding(
    equipment: str,
    columns: tuple[str, ...],
    normal: Floats,
    fault: Floats,
    times: tuple[float, float],
    card: Card,
    between: Floats | None = None,
) -> Finding:
    """What ``fault`` shows against ``normal``.

    normal: (N, S) rows before the onset; fault: (M, S) rows since; times: source time of the onset
    and of the last row; between: (S,) how far levels lie apart from one fault-free recording to
    another, where ``normal`` comes from another one, infinite where its level says nothing.
    """
    entries: list[tuple[str, _Compared]] = []
    for index, name in enumerate(columns):
        apart = float(between[index]) if between is not None else 0.0
        entry = _compare(normal[:, index], fault[:, index], apart)
        if entry is not None:
            entries.append((name, entry))
    entries.sort(key=lambda pair: (pair[1].direction is Direction.NORMAL, -abs(pair[1].sigma)))
    evidence = tuple(
        SignalEvidence(
            id=f"e{number}",
            signal=name,
            unit=card.signals[name].unit if name in card.signals else "",
            baseline=entry.baseline,
            now=entry.now,
            sigma=entry.sigma,
            direction=entry.direction,
            shape=entry.shape,
            since=None if entry.direction is Direction.NORMAL else times[0],
        )
        for number, (name, entry) in enumerate(entries[:EVIDENCE_MAX], 1)
    )
    return Finding(
        incident_id="onset",
        phase=IncidentPhase.UPDATED,
        equipment=equipment,
        opened_at=times[0],
        at=times[1],
        score=1.0,
        reason="labelled onset",
        window=Window(start=times[0], end=times[1]),
        evidence=evidence,
        fingerprint="",
    )


class _Compared(NamedTuple):
    baseline: float
    now: float
    sigma: float
    direction: Direction
    shape: Shape


def _compare(normal: Floats, fault: Floats, apart: float) -> _Compared | None:
    """One signal; None where it says nothing in either stretch."""
    before, after = _clean(normal), _clean(fault)
    if len(before) < 10 or len(after) < 5:
        return None
    width = min(WINDOW_ROWS, len(before) // 4, max(5, len(after)))
    pieces = _pieces(before, len(after)) or [before]
    scatter = float(np.median([_roughness(one) for one in pieces]))
    single = float(np.std(before))
    if single < 1e-12 * max(1.0, abs(float(np.mean(before)))):
        single = 0.0
    level = float(np.mean(before[-width:]))
    lag = len(after) if apart == 0.0 else 0
    spread = max(_window_sigma(before, width, lag), scatter / math.sqrt(width), single * 0.1)
    if math.isnan(apart):
        apart = 0.0
    spread = math.hypot(spread, apart)
    now = float(np.mean(after[-width:]))
    if spread == 0.0:
        if now == level:
            return None
        spread = max(1e-9, 1e-3 * abs(level))
    sigma = float(np.clip((now - level) / spread, -99.0, 99.0))
    shifted = abs(sigma) >= LEAST_SIGMA and abs(now - level) >= SINGLE_ROW_SHARE * single
    swings = _swings(before, after)
    if swings and abs(float(np.mean(after)) - level) < 2.0 * float(np.std(after)):
        shifted = False
    direction = Direction.NORMAL
    if shifted:
        direction = Direction.UP if sigma > 0 else Direction.DOWN
    elif swings or (scatter > 0 and _roughness(after) > NOISY_RATIO * scatter):
        direction = Direction.NOISY
    elif scatter > 0 and _rest(after[::-1]) >= max(WINDOW_ROWS, RESTS * _longest_rest(before)):
        direction = Direction.FROZEN
    shape = Shape.UNKNOWN
    if shifted:
        half = float(np.mean(after[: max(5, len(after) // 4)]))
        shape = Shape.STEP if abs(half - level) > 0.6 * abs(now - level) else Shape.RAMP
    return _Compared(float(f"{level:.6g}"), float(f"{now:.6g}"), round(sigma, 2), direction, shape)


def _clean(values: Floats) -> Floats:
    return values[np.isfinite(values) & (np.abs(values) < ABSURD)]


def _roughness(values: Floats) -> float:
    """Scatter around a running mean of 15 rows."""
    if len(values) < 30:
        return float(np.std(np.diff(values))) / math.sqrt(2.0)
    mean = np.convolve(values, np.full(15, 1 / 15), "valid")
    return float(np.std(values[7:-7] - mean))


def _rest(values: Floats) -> int:
    """Rows at the beginning that are all equal."""
    moved = np.flatnonzero(values != values[0])
    return int(moved[0]) if len(moved) else len(values)


def _longest_rest(values: Floats) -> int:
    """The longest run of equal rows."""
    edges = np.flatnonzero(np.diff(values) != 0.0)
    return int(np.diff(np.concatenate(([-1], edges, [len(values) - 1]))).max())


def _swings(before: Floats, after: Floats) -> bool:
    """Whether it goes up and down, at least twice, far more than it did over as long a time."""
    size = min(len(after), len(before))
    if size < 30:
        return False
    usual = float(np.median([np.std(_level_out(one)) for one in _pieces(before, size)]))
    swing = _level_out(after)
    amplitude = float(np.std(swing))
    if amplitude <= NOISY_RATIO * usual or amplitude < 1e-9 * abs(float(np.mean(after))):
        return False
    sides = np.sign(swing[np.abs(swing) > 0.5 * amplitude])
    return int(np.count_nonzero(np.diff(sides))) >= SWINGS


def _pieces(values: Floats, size: int) -> list[Floats]:
    return [values[at : at + size] for at in range(0, len(values) - size + 1, size)]


def _level_out(values: Floats) -> Floats:
    """Without its straight-line trend."""
    at = np.arange(len(values), dtype=np.float64)
    slope, offset = np.polyfit(at, values, 1)
    return np.asarray(values - slope * at - offset, np.float64)


def _window_sigma(values: Floats, width: int, lag: int) -> float:
    """How far the means of two stretches of ``width`` rows lie apart, ``lag`` rows after each
    other. Where the rows do not reach so far it grows as it did up to there, at most as a random
    walk does, with the root of the lag."""
    mean = np.convolve(values, np.full(width, 1 / width), "valid")
    longest = len(mean) // 2
    if longest <= width:
        return _apart(mean, max(1, min(width, longest)))
    near, far = _apart(mean, width), _apart(mean, longest)
    if lag <= longest or near <= 0.0:
        return max(near, far)
    growth = min(0.5, max(0.0, math.log(max(far, 1e-300) / near) / math.log(longest / width)))
    return float(max(near, far) * (lag / longest) ** growth)


def _apart(mean: Floats, lag: int) -> float:
    steps = mean[lag:] - mean[:-lag]
    return float(np.sqrt(np.mean(steps**2))) if len(steps) else 0.0
