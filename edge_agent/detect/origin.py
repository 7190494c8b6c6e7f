"""Machine or instrument: what kind of wrong it is, with the reason as a sentence. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_agent.detect.profile import Floats
from edge_agent.detect.tracker import Tracker
from edge_agent.domain.finding import Direction, Origin, SignalEvidence

FACTORS = {
    10.0: "",
    100.0: "bar and kPa, or a share and per cent",
    1000.0: "a unit and its thousandth",
    14.5038: "bar and psi",
    6.89476: "psi and kPa",
    3.6: "m/s and km/h",
    60.0: "per minute and per second or hour",
    3600.0: "per second and per hour",
    3.78541: "gallons and litres",
    25.4: "inch and mm",
    2.20462: "kg and lb",
    0.3048: "feet and metres",
}
"""Factors between units in use → which; each way."""
OFFSETS = ((1.8, 32.0, "°C and °F"), (1.0, 273.15, "°C and K"))
"""(factor, offset) of units with another zero, each way."""
_FORTH = (*((factor, 0.0, which) for factor, which in FACTORS.items()), *OFFSETS)
CONVERSIONS = (
    *_FORTH,
    *((1.0 / factor, -offset / factor, which) for factor, offset, which in _FORTH),
)
"""(factor, offset, which): every conversion, forth and back."""
EXACT = 0.01
"""A changed unit gives the old level times the factor, within this share of it …"""
FAR = 10.0
"""Spreads that a changed unit moves a signal by, at the least."""
NOISE = 3.0
"""… and so many spreads, in the new unit."""
EXPLAINED = 0.5
"""Where the neighbours leave less than this share of a signal's variance, it goes with them."""
QUIET = 1.0
"""Spreads that such neighbours may have moved all the same."""
OF_THE_WAY = 0.1
"""And within this share of the jump: 273 K more are nothing beside two million pascals."""
BACK_ROWS = 10
"""A deviation that began so many rows after a pause came with what ended the pause."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is known beside the evidence."""

    tracker: Tracker
    signals: Sequence[str]
    """(S,)"""
    baseline: Floats
    """(2 S,) scaled channels when all was well."""
    pause_s: float
    """Seconds for which nothing came before the last pause ended; 0 if there was none."""
    back_at: float
    """Source time of the row that ended it."""
    row_s: float


def origin_of(evidence: tuple[SignalEvidence, ...], context: Context) -> tuple[Origin, str]:
    """Machine or sensor, with the reason as a sentence."""
    deviating = [one for one in evidence if one.direction is not Direction.NORMAL]
    names = ", ".join(phrase(one) for one in deviating[:3])
    absurd = np.flatnonzero(context.tracker.absurd())
    if len(absurd):
        name = context.signals[int(absurd[0])]
        return Origin.SENSOR, f"the sensor of {name} says things that cannot be"
    if not deviating:
        return Origin.MACHINE, "signals no longer move together as they usually do"
    if len(deviating) == 1:
        reason = _of_one(deviating[0], context)
        if reason:
            return Origin.SENSOR, reason
    more = f" and {len(deviating) - 3} more" if len(deviating) > 3 else ""
    return Origin.MACHINE, f"{names}{more}"


def _of_one(one: SignalEvidence, context: Context) -> str:
    """Why it is the instrument if a single signal deviates; empty if it may be the machine."""
    told = phrase(one)
    if one.direction in (Direction.FROZEN, Direction.MISSING):
        return f"{told} while all other signals go on as usual"
    if one.direction not in (Direction.UP, Direction.DOWN):
        return ""
    index = list(context.signals).index(one.signal)
    unit = changed_unit(context, index)
    if unit:
        return unit
    since_back = (one.since or 0.0) - context.back_at
    if context.pause_s and 0.0 <= since_back <= BACK_ROWS * context.row_s:
        pause = f"{context.pause_s:.0f} s in which nothing came"
        return f"{told}, alone, with the first rows after {pause}"
    neighbours = alone_against(context, index)
    if neighbours:
        return f"{told} while {' and '.join(neighbours)}, with which it goes, did not move"
    return ""


def changed_unit(context: Context, index: int) -> str:
    """That a signal's jump is the quotient of two units; empty where it is none. The raw value of
    the last row decides, since averages still hold the old unit."""
    profile = context.tracker.profile
    spread = float(profile.scale[index])
    before = float(profile.center[index] + context.baseline[index] * spread)
    now = float(context.tracker.last[index])
    best, nearest = "", np.inf
    for factor, offset, which in CONVERSIONS:
        meant = factor * before + offset
        off = abs(now - meant)
        fits = off <= EXACT * abs(meant) + NOISE * factor * spread
        fits &= off <= OF_THE_WAY * abs(meant - before)
        if fits and off < nearest and abs(meant - before) > FAR * spread:
            best, nearest = which or f"a factor of {factor:g}", off
    if not best:
        return ""
    name = context.signals[index]
    return f"{name} jumped from {before:.4g} to {now:.4g}: a change of unit ({best})?"


def alone_against(context: Context, index: int) -> list[str]:
    """The two nearest neighbours of a signal that usually goes with them, if they stayed; empty
    where it goes its own way, or they moved as well."""
    tracker, size = context.tracker, len(context.signals)
    variance = tracker.profile.variance
    goes_along = variance[size + index] < EXPLAINED * variance[index]
    if not goes_along or not tracker.steady()[index]:
        return []
    pull = np.abs(tracker.profile.partial[index]).astype(np.float64)
    pull[index] = 0.0
    nearest = [int(one) for one in np.argsort(-pull)[:2] if pull[one] > 0.0]
    moved = np.abs(tracker.fast[:size] - context.baseline[:size])
    if not nearest or (moved[nearest] > QUIET).any():
        return []
    return [context.signals[one] for one in nearest]


def phrase(one: SignalEvidence) -> str:
    """What a signal did."""
    unit = f" {one.unit}" if one.unit else ""
    match one.direction:
        case Direction.UP | Direction.DOWN:
            verb = "rose" if one.direction is Direction.UP else "fell"
            return f"{one.signal} {verb} from {one.baseline:.4g} to {one.now:.4g}{unit}"
        case Direction.NOISY:
            if one.period_s is not None:
                return f"{one.signal} swings with a period of about {one.period_s:.2g} s"
            return f"{one.signal} fluctuates far more than usual"
        case Direction.FROZEN:
            return f"{one.signal} stands still at {one.now:g}{unit}"
        case _:
            return f"{one.signal} stopped coming"
