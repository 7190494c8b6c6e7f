"""The numbers that show a deviation, per signal, most telling first. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from edge_agent.detect.profile import CLIP, Floats
from edge_agent.detect.tracker import ROUGH, Tracker
from edge_agent.domain.card import Card
from edge_agent.domain.finding import Direction, Shape, SignalEvidence

EVIDENCE_MAX = 24
"""Signals in a finding at most: the deviating ones, then the calmest."""
NOTABLE_SIGMA = 3.0
SWINGING = 0.75
"""Score of the swings from which on a signal is said to swing."""
RAMP_ROWS = 30


def compose(
    tracker: Tracker,
    signals: Mapping[str, int],
    baseline: Floats,
    since: Floats,
    at: float,
    card: Card | None,
    row_s: float = 0.0,
) -> tuple[SignalEvidence, ...]:
    """Evidence of every active signal. ``baseline``: (2 S,) scaled channels when all was well;
    ``since``: (S,) source time of the first deviation, NaN where there is none; ``at``: now;
    ``row_s``: usual seconds between rows."""
    profile = tracker.profile
    size = len(signals)
    sigma = tracker.fast[:size] - baseline[:size]
    directions = [_direction(tracker, index, float(sigma[index])) for index in range(size)]
    swings = tracker.swing_scores()
    for index in np.flatnonzero(swings >= SWINGING).tolist():
        if directions[index] is Direction.NORMAL:
            directions[index] = Direction.NOISY
    score = np.maximum(tracker.shift_scores(), tracker.spread_scores())
    np.maximum(score, swings, out=score)
    levels = tracker.levels()
    # So far away values are told apart no more: the last one as it came says where it is.
    beyond = np.abs(tracker.recent[1]) >= CLIP
    levels[beyond] = tracker.last[beyond]
    entries = []
    for name, index in signals.items():
        direction = directions[index]
        if not profile.active[index] and direction is Direction.NORMAL:
            continue
        deviates = direction is not Direction.NORMAL
        rank = (not deviates, -(abs(float(sigma[index])) + 3.0 * float(score[index]) * deviates))
        entries.append((rank, name, index, direction))
    entries.sort(key=lambda entry: entry[0])
    return tuple(
        SignalEvidence(
            id=f"e{number}",
            signal=name,
            unit=card.signals[name].unit if card and name in card.signals else "",
            baseline=_rounded(profile.center[index] + baseline[index] * profile.scale[index]),
            now=_rounded(float(levels[index])),
            sigma=round(float(sigma[index]), 2),
            direction=direction,
            shape=_shape(direction, float(since[index]), at),
            since=None if direction is Direction.NORMAL else _time(float(since[index]), at),
            noise=_rounded(math.sqrt(float(tracker.variance[index]))),
            period_s=_rounded(tracker.spectrum.period(index) * row_s, 3)
            if direction is Direction.NOISY and swings[index] >= SWINGING and row_s
            else None,
        )
        for number, (_, name, index, direction) in enumerate(entries[:EVIDENCE_MAX], 1)
    )


def _direction(tracker: Tracker, index: int, sigma: float) -> Direction:
    if tracker.missing()[index]:
        return Direction.MISSING
    if tracker.frozen()[index]:
        return Direction.FROZEN
    limits = tracker.limits_in_force()
    if limits is not None:
        side = limits.side(tracker.levels())[index]
        if side:
            return Direction.UP if side > 0 else Direction.DOWN
    # Three spreads are nothing for a temperature that wanders by ten in normal operation.
    notable = abs(sigma) * float(tracker.profile.weight[index]) >= NOTABLE_SIGMA
    shifted = notable or (abs(sigma) >= 1.0 and float(tracker.shift_scores()[index]) >= 1.0)
    if shifted:
        return Direction.UP if sigma > 0 else Direction.DOWN
    if tracker.rough[index] >= ROUGH / 2:
        return Direction.NOISY
    return Direction.NORMAL


def _shape(direction: Direction, since: float, at: float) -> Shape:
    match direction:
        case Direction.NOISY:
            return Shape.OSCILLATION
        case Direction.FROZEN:
            return Shape.FLAT
        case Direction.UP | Direction.DOWN if math.isfinite(since):
            return Shape.RAMP if at - since > RAMP_ROWS else Shape.STEP
    return Shape.UNKNOWN


def _time(since: float, at: float) -> float:
    return since if math.isfinite(since) else at


def _rounded(value: float, digits: int = 6) -> float:
    """Six significant digits: more would be noise in every message."""
    return float(f"{value:.{digits}g}")


def fingerprint(equipment: str, evidence: tuple[SignalEvidence, ...]) -> str:
    """Equal for repeats of the same picture: equipment, signals, directions."""
    parts = sorted(
        f"{one.signal}:{one.direction}" for one in evidence if one.direction is not Direction.NORMAL
    )
    return "|".join((equipment, *parts))
