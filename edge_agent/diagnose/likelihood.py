"""How much likelier a signal's evidence is under a symptom than under normal operation. Pure.

A signal shows a mark (noisy, frozen, missing, or none) and a distance z from its baseline, in
standard deviations that this distance has while all is well. Everything is a ratio to the calm
case, so that a signal which is not measured (ratio 1) is neither for nor against:

    calm(z)  = Student t, ``CALM_FREEDOM`` degrees of freedom, scale ``CALM_SCALE``
    moved(z) = 1 / (s (1 + |z|/s)²) on the side that the fault moves it to, s = ``MOVED_SCALE``

The constants of the calm case are fitted on fault-free recordings of five kinds of machines
(``edge-agent eval noise``, docs/decisions/0026); how far a fault moves a signal, and how often a
symptom that a card states shows, are the shape of the argument (docs/decisions/0012).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from edge_agent.diagnose.symptoms import FORMAL_TRUST, Expectation
from edge_agent.domain.finding import Direction, SignalEvidence

CALM_FREEDOM, CALM_SCALE = 15.0, 1.25
MOVED_SCALE, STRONG_SCALE = 6.0, 25.0
"""How far a fault moves a signal; the same where the card says clearly."""
CONTRARY = 0.04
"""Chance that a symptom comes the other way round."""
NOTABLE = 3.0
"""What detection calls up or down is at least this far: a limit of the card may have said so."""
FAR = 60.0
"""Beyond this nothing is added: it is as sure as it can be."""
SPREAD: Mapping[float, float] = {0.03: 0.40, 0.15: 0.30, 0.35: 0.20, 0.65: 0.10}
UNKNOWN_SPREAD: Mapping[float, float] = {0.03: 0.10, 0.15: 0.20, 0.35: 0.35, 0.65: 0.35}
"""Share of the signals that move without being mentioned → how likely that share is."""
MARKS: Mapping[str, Mapping[Direction, float]] = {
    "calm": {Direction.NOISY: 0.03, Direction.FROZEN: 0.003, Direction.MISSING: 0.003},
    "moved": {Direction.NOISY: 0.30, Direction.FROZEN: 0.02, Direction.MISSING: 0.02},
    "noisy": {Direction.NOISY: 0.75, Direction.FROZEN: 0.005, Direction.MISSING: 0.02},
    "frozen": {Direction.NOISY: 0.01, Direction.FROZEN: 0.75, Direction.MISSING: 0.15},
    "missing": {Direction.NOISY: 0.01, Direction.FROZEN: 0.15, Direction.MISSING: 0.75},
}
"""Chance of each mark by condition; of the calm one as counted on fault-free recordings."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One signal's evidence as ratios to the calm case."""

    up: float
    down: float
    far_up: float
    """Up, where the card says clearly."""
    far_down: float
    noisy: float
    frozen: float
    missing: float

    @property
    def either(self) -> float:
        """Moved in any way."""
        return 0.4 * self.up + 0.4 * self.down + 0.2 * self.noisy


def distance(one: SignalEvidence) -> float:
    """z: the evidence's sigma in the standard deviations that it has in normal operation."""
    z = one.sigma / one.noise if one.noise else one.sigma
    z = max(-FAR, min(FAR, z))
    match one.direction:
        case Direction.UP:
            return max(z, NOTABLE)
        case Direction.DOWN:
            return min(z, -NOTABLE)
        case _:
            return z


def see(one: SignalEvidence, drift: float = 1.0) -> Seen:
    """The ratios of one signal; ``drift``: what its distance is divided by, since it wanders."""
    z = distance(one) / drift
    if one.direction in (Direction.FROZEN, Direction.MISSING):
        # The level of a signal that stands still or is gone says nothing of the machine.
        up = down = far_up = far_down = wide = 1.0
    else:
        calm = _calm(z)
        up, down = _moved(z, MOVED_SCALE) / calm, _moved(-z, MOVED_SCALE) / calm
        far_up, far_down = _moved(z, STRONG_SCALE) / calm, _moved(-z, STRONG_SCALE) / calm
        wide = 0.5 + 0.25 * up + 0.25 * down
    moved = _mark("moved", one.direction)
    return Seen(
        up=moved * up,
        down=moved * down,
        far_up=moved * far_up,
        far_down=moved * far_down,
        noisy=_mark("noisy", one.direction) * wide,
        frozen=_mark("frozen", one.direction),
        missing=_mark("missing", one.direction),
    )


def ratio(expected: Expectation, seen: Seen) -> float:
    """Of a signal's evidence under a fault that expects this of it; of what a model read, the
    mixture over all that the text may say."""
    if not expected.read:
        return _ratio(expected, seen)
    return sum(
        p
        * (0.9 + 0.1 * seen.either if way is None else _ratio(Expectation(way, FORMAL_TRUST), seen))
        for way, p in expected.read
    )


def _ratio(expected: Expectation, seen: Seen) -> float:
    trust = expected.trust
    match expected.direction:
        case Direction.UP | Direction.DOWN:
            ways = (seen.far_up, seen.far_down) if expected.strong else (seen.up, seen.down)
            right, wrong = ways if expected.direction is Direction.UP else ways[::-1]
            return trust * right + CONTRARY * wrong + max(0.01, 1 - trust - CONTRARY)
        case Direction.NOISY:
            moved = 0.5 * (seen.up + seen.down)
            return trust * (0.7 * seen.noisy + 0.3 * moved) + (1 - trust)
        case Direction.FROZEN:
            return trust * seen.frozen + (1 - trust)
        case Direction.MISSING:
            return trust * seen.missing + (1 - trust)
        case Direction.NORMAL:
            return trust + (1 - trust) * seen.either


def unmentioned(signals: Iterable[Seen], spread: Mapping[float, float]) -> float:
    """Log ratio of signals that a hypothesis says nothing about, summed over the share of them
    that moves."""
    moved = [one.either for one in signals]
    logs = [
        math.log(weight) + sum(math.log(1 - share + share * one) for one in moved)
        for share, weight in spread.items()
    ]
    top = max(logs)
    return top + math.log(sum(math.exp(one - top) for one in logs))


def _mark(condition: str, way: Direction) -> float:
    return _chance_of(condition, way) / _chance_of("calm", way)


@cache
def _chance_of(condition: str, way: Direction) -> float:
    marks = MARKS[condition]
    return marks.get(way, 1.0 - sum(marks.values()))


def _calm(z: float) -> float:
    """Student's t (1908) with a scale; its tails are those of the fault-free recordings."""
    n = CALM_FREEDOM
    t = z / CALM_SCALE
    norm = math.gamma((n + 1) / 2) / (math.sqrt(n * math.pi) * math.gamma(n / 2)) / CALM_SCALE
    return float(norm * (1.0 + t * t / n) ** (-(n + 1) / 2))


def _moved(z: float, scale: float) -> float:
    """On the positive side; on the other what noise makes of a small shift."""
    if z < 0:
        return 0.5 / scale * _calm(z) / _calm(0.0)
    return 1.0 / (scale * (1.0 + z / scale) ** 2)
