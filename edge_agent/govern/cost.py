"""What a diagnosis costs, learned from those made: joules and seconds by model, length, threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

KEPT = 32
"""Costs remembered per kind of job."""
KINDS = 24
"""Kinds remembered; the one not used for longest is forgotten."""
FORGET_S = 6 * 3600.0
"""A cost older than this is forgotten, so that one freak cannot shut the model out for good."""
ENOUGH = 3
"""Fewer costs than this are no distribution: the dearest is taken with a margin."""
THIN_MARGIN = 1.5
CALLS = 32
"""Decode calls of a diagnosis of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One finished job."""

    at: float
    """Wall clock, Unix seconds: it outlives a restart."""
    joules: float
    """Above the gateway's base power."""
    seconds: float
    """Without the pauses that it was told to make."""
    cpu_s: float
    calls: int = 0
    """Decode calls, between which it could pause; 0: not known."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the next job of a kind will cost: (joules, seconds without pauses) of each made."""

    made: tuple[tuple[float, float], ...]
    calls: int
    """Decode calls, between which it can pause; on the low side."""
    own: bool = True
    """Whether made with so many threads, not guessed from others."""

    @property
    def joules(self) -> float:
        """Median."""
        return quantile([joules for joules, _ in self.made], 0.5)

    @property
    def seconds(self) -> float:
        """Median."""
        return quantile([seconds for _, seconds in self.made], 0.5)

    def draw(self, spare_watts: float) -> float:
        """95th percentile of the joules that a job takes beyond what flows in while it runs."""
        return quantile([joules - spare_watts * seconds for joules, seconds in self.made], 0.95)


class Kind(NamedTuple):
    """Jobs that cost alike."""

    model: str
    length: int
    threads: int
    """On a busy machine two threads that wait for each other cost several times one."""


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
    """Costs by kind. Bounded; no clock of its own."""

    def __init__(self) -> None:
        self._kinds: dict[Kind, list[Sample]] = {}

    def learn(self, model: str, tokens: int, threads: int, sample: Sample) -> None:
        """Add a finished job; nonsense (negative, no time) is left out."""
        if sample.joules < 0 or sample.seconds <= 0:
            return
        kind = Kind(model, length_class(tokens), threads)
        kept = [*self._kinds.pop(kind, []), sample][-KEPT:]
        self._kinds[kind] = kept
        while len(self._kinds) > KINDS:
            del self._kinds[next(iter(self._kinds))]

    def forecast(self, model: str, tokens: int, threads: int, now: float) -> Forecast | None:
        """For a job of this model and length on so many threads; None while nothing is known.

        Without costs of this very kind those of the nearest one are taken: more tokens cost more
        in proportion, fewer do not cost less, and threads share the processor seconds.
        """
        wanted = Kind(model, length_class(tokens), threads)
        known = self._nearest(wanted, now)
        if known is None:
            return None
        samples = self._fresh(known, now)
        scale = max(1.0, 2.0 ** (wanted.length - known.length))
        if len(samples) < ENOUGH:
            scale *= THIN_MARGIN
        same = known.threads == threads
        seconds = [s.seconds if same else s.cpu_s / threads for s in samples]
        made = zip(samples, seconds, strict=True)
        calls = [s.calls for s in samples if s.calls > 0]
        return Forecast(
            tuple((s.joules * scale, took * scale) for s, took in made),
            int(quantile(calls, 0.1)) if calls else CALLS,
            own=same,
        )

    def _fresh(self, kind: Kind, now: float) -> list[Sample]:
        # A clock that was set back makes samples of the future: they count as fresh.
        return [s for s in self._kinds.get(kind, []) if now - s.at < FORGET_S]

    def _nearest(self, wanted: Kind, now: float) -> Kind | None:
        known = [
            kind for kind in self._kinds if kind.model == wanted.model and self._fresh(kind, now)
        ]

        def distance(kind: Kind) -> tuple[int, int]:
            return abs(kind.length - wanted.length), abs(kind.threads - wanted.threads)

        return min(known, key=distance, default=None)

    def dump(self) -> list[list[Any]]:
        """As plain values for a snapshot."""
        return [
            [*kind, [[s.at, s.joules, s.seconds, s.cpu_s, s.calls] for s in samples]]
            for kind, samples in self._kinds.items()
        ]

    def load(self, rows: list[list[Any]]) -> None:
        """Take over what ``dump`` gave. Raises ValueError, TypeError on anything else."""
        kinds = {}
        for model, length, threads, samples in rows[:KINDS]:
            kinds[Kind(str(model), int(length), int(threads))] = [
                _sample(sample) for sample in samples[-KEPT:]
            ]
        self._kinds = kinds


def _sample(row: list[Any]) -> Sample:
    at, joules, seconds, cpu_s, calls = row
    return Sample(float(at), float(joules), float(seconds), float(cpu_s), int(calls))
