"""The card's usual ranges: leaving one is evidence whatever the baseline says. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.detect.profile import Floats


@dataclass(slots=True)
class Limits:
    """``normal`` of the card for S signals, in the signals' units."""

    low: Floats
    """(S,) -inf where the card says nothing."""
    high: Floats
    """(S,) +inf there."""
    accepted: NDArray[np.bool_]
    """(S,) outside for so long that it counts as meant, until it is inside again."""

    def scores(self, values: Floats) -> Floats:
        """(S,) 0 inside; outside 1.0 and more, by the distance in widths of the range."""
        excess = np.maximum(self.low - values, values - self.high)
        outside = excess > 0.0
        self.accepted &= outside
        said = outside & ~self.accepted
        return np.where(said, 1.0 + np.maximum(excess, 0.0) / (self.high - self.low), 0.0)

    def side(self, values: Floats) -> Floats:
        """(S,) 1 above its range, -1 below, 0 inside or where that is meant."""
        return np.sign(values - np.clip(values, self.low, self.high)) * ~self.accepted

    def accept(self, values: Floats) -> None:
        """What is outside now is meant."""
        self.accepted |= (values < self.low) | (values > self.high)


def limits_of(ranges: list[tuple[float, float] | None]) -> Limits | None:
    """One range a signal; None if the card gives none at all."""
    if not any(ranges):
        return None
    known = [one or (-np.inf, np.inf) for one in ranges]
    low, high = np.array(known, np.float64).T
    return Limits(low, high, np.zeros(len(ranges), np.bool_))
