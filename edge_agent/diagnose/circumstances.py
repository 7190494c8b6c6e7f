"""What the order in time, the speed and the kind of evidence say of a fault. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from edge_agent.diagnose.symptoms import Expectation
from edge_agent.domain.card import CardFault
from edge_agent.domain.finding import Direction, Finding, Origin, Shape, SignalEvidence

INSTRUMENTAL = frozenset({Direction.FROZEN, Direction.MISSING})
DEVELOPMENT_TRUST = 0.65
ORDER_TRUST = 0.85
"""Chance that two signals deviate in the order that the card states, were the times exact."""
ONSET_ROWS = 15.0
"""A first deviation is known to about so many rows: the memory of the detector's fast average."""
ONSET_SHARE = 0.05
"""… and to this share of the time since, where the rows' period is not known."""
HOUR_S = 3600.0


def circumstances(
    fault: CardFault,
    expected: Mapping[str, Expectation],
    finding: Finding,
    period_s: float | None = None,
    stray: bool = False,
) -> float:
    """Log score of how it came about, and of machine against instrument. ``period_s``: time
    between two rows; ``stray``: all that deviates is a sensor whose twin does not."""
    instrumental = any(one.direction in INSTRUMENTAL for one in expected.values())
    if stray or finding.origin is Origin.SENSOR:
        score = 0.0 if instrumental else -2.0
    else:
        score = -1.0 if instrumental else 0.0
    moved = [one for one in finding.evidence if one.signal in expected]
    sure = any(abs(one.sigma) > 10 for one in moved if one.since is not None)
    if fault.development == "days" and sure and finding.at - finding.opened_at < HOUR_S:
        return score + math.log(0.05)
    return score + _speed(fault, moved) + order_score(fault.order, finding, period_s)


def _speed(fault: CardFault, moved: Sequence[SignalEvidence]) -> float:
    """Against a fault that may come either way."""
    shape = next((one.shape for one in moved if one.shape in (Shape.STEP, Shape.RAMP)), None)
    said = fault.development or _read_development(fault)
    if shape is None or said not in ("sudden", "slow"):
        return 0.0
    as_said = (shape is Shape.STEP) == (said == "sudden")
    return math.log(2 * (DEVELOPMENT_TRUST if as_said else 1 - DEVELOPMENT_TRUST))


def order_score(order: Sequence[str], finding: Finding, period_s: float | None) -> float:
    """Log ratio of the order in which signals left normal, against any order.

    Of two times with errors of deviation s each, the later one is really later with probability
    Φ(Δ/(s√2)); with that probability the pair is in the stated order, and the card is right with
    ``ORDER_TRUST``. Signals that did not deviate say nothing here: their absence counts elsewhere.
    """
    since = {one.signal: one.since for one in finding.evidence}
    times = [at for name in order if (at := since.get(name)) is not None]
    error = max(
        ONSET_ROWS * (period_s or 0.0), ONSET_SHARE * (finding.at - min(times, default=finding.at))
    )
    score = 0.0
    for first, later in pairwise(times):
        as_stated = 0.5 * (1 + math.erf((later - first) / (2 * error))) if error else 0.5
        score += math.log(2 * (ORDER_TRUST * as_stated + (1 - ORDER_TRUST) * (1 - as_stated)))
    return score


def _read_development(fault: CardFault) -> str:
    """``sudden`` or ``slow`` where the text says so more likely than not."""
    return next((way for way in ("sudden", "slow") if fault.read_speed.get(way, 0.0) > 0.5), "")
