"""What a diagnosis costs, learned from those made: joules and seconds by model and length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

KEPT = 32
"""Costs remembered per kind of job."""
KINDS = 24
"""Kinds remembered; the one not used for longest is forgotten."""
FORGET_S = 6 * 3600.0
"""A cost older than this is forgotten, so that one freak cannot shut the model out for good."""
ENOUGH = 3
"""Fewer costs than this are no distribution: the dearest is taken with a margin."""
THIN_MARGIN = 1.5


@dataclass(frozen=True, slots=True)
class Sample:
    """One finished job."""

    at: float
    """Wall clock, Unix seconds: it outlives a restart."""
    joules: float
    """Above the gateway's base power."""
    seconds: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the next job of a kind will cost, 95th percentile."""

    joules: float
    seconds: float


def length_class(tokens: int) -> int:
    """Jobs within a factor of two in tokens are one kind."""
    return max(0, tokens).bit_length()


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of ``values`` lie, linearly between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


class CostBook:
    """Costs by kind (model, length class). Bounded; no clock of its own."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, int], list[Sample]] = {}

    def learn(self, model: str, tokens: int, sample: Sample) -> None:
        """Add a finished job; nonsense (negative, no time) is left out."""
        if sample.joules < 0 or sample.seconds <= 0:
            return
        key = (model, length_class(tokens))
        kept = [*self._kinds.pop(key, []), sample][-KEPT:]
        self._kinds[key] = kept
        while len(self._kinds) > KINDS:
            del self._kinds[next(iter(self._kinds))]

    def forecast(self, model: str, tokens: int, now: float) -> Forecast | None:
        """95th percentile for a job of this model and length; None while nothing is known.

        Without costs of this length those of the same model are scaled by tokens, upwards only.
        """
        samples = self._fresh(model, length_class(tokens), now)
        scale = 1.0
        if not samples:
            near = self._nearest(model, length_class(tokens), now)
            if near is None:
                return None
            samples = self._fresh(model, near, now)
            scale = max(1.0, 2.0 ** (length_class(tokens) - near))
        if len(samples) < ENOUGH:
            scale *= THIN_MARGIN
        joules = quantile([sample.joules for sample in samples], 0.95)
        # The shorter the job, the less flows in meanwhile: the short end is the careful one.
        seconds = quantile([sample.seconds for sample in samples], 0.5)
        return Forecast(joules * scale, seconds * scale)

    def _fresh(self, model: str, length: int, now: float) -> list[Sample]:
        samples = self._kinds.get((model, length), [])
        # A clock that was set back makes samples of the future: they count as fresh.
        return [sample for sample in samples if now - sample.at < FORGET_S]

    def _nearest(self, model: str, length: int, now: float) -> int | None:
        known = [
            other for name, other in self._kinds if name == model and self._fresh(name, other, now)
        ]
        return min(known, key=lambda other: (abs(other - length), other), default=None)

    def dump(self) -> list[list[Any]]:
        """As plain values for a snapshot."""
        return [
            [model, length, [[s.at, s.joules, s.seconds, s.cpu_s] for s in samples]]
            for (model, length), samples in self._kinds.items()
        ]

    def load(self, rows: list[list[Any]]) -> None:
        """Take over what ``dump`` gave. Raises ValueError, TypeError on anything else."""
        kinds = {}
        for model, length, samples in rows[:KINDS]:
            kinds[(str(model), int(length))] = [
                Sample(*(float(value) for value in sample)) for sample in samples[-KEPT:]
            ]
        self._kinds = kinds
