"""The range that a signal keeps to over days: the view for a signal that wanders. Pure.

A temperature that follows the day wanders so far within an hour that a difference of moving
averages says little. Over many days it keeps to a range all the same, as a control chart of
single values does (Shewhart 1931): an exponentially weighted mean and variance of about two weeks,
against which the fast average is held. Nothing is said before several days have been seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_agent.detect.profile import Floats

DAY_S = 86_400.0
LEAST_S = 5.0 * DAY_S
"""Time that must have been seen before the range says anything: some days of a week."""
MEMORY_S = 14.0 * DAY_S
SIGMAS = 3.0
"""Standard deviations of the fast average from the mean that make the score 1.0."""
BOUND = 3.0
"""A value teaches no more than one that lies so many standard deviations off."""
PAUSE_S = 3600.0
"""A longer pause between rows counts as this long: nothing was seen in it."""
LEAST_ROWS = 400.0
"""The range starts as that of so many rows."""
LEAST_SPREAD = 0.1
"""Smallest spread that is believed, in scaled units."""


@dataclass(slots=True)
class Custom:
    """The usual range of S scaled signals."""

    mean: Floats
    """(S,)"""
    variance: Floats
    """(S,)"""
    seen: Floats
    """(2,) seconds and rows that were seen."""

    @classmethod
    def begin(cls, scaled: Floats) -> Custom:
        """From (N, S) scaled learning rows."""
        least = LEAST_SPREAD**2
        variance = np.maximum(scaled.var(axis=0), least)
        return cls(scaled.mean(axis=0), variance, np.array([0.0, float(len(scaled))]))

    def follow(self, scaled: Floats, elapsed: float) -> None:
        """Take one row's (S,) values; ``elapsed``: seconds since the row before."""
        passed = min(max(elapsed, 0.0), PAUSE_S)
        self.seen[0] += passed
        self.seen[1] += 1.0
        weight = max(min(1.0, passed / MEMORY_S), 1.0 / max(self.seen[1], LEAST_ROWS))
        bound = BOUND * np.sqrt(self.variance)
        off = np.minimum(np.maximum(scaled - self.mean, -bound), bound)
        self.mean += weight * off
        self.variance += weight * (off * off - self.variance)
        np.maximum(self.variance, LEAST_SPREAD**2, out=self.variance)

    @property
    def known(self) -> bool:
        """Whether enough was seen to say anything."""
        return bool(self.seen[0] >= LEAST_S)

    def accept(self, fast: Floats) -> None:
        """What is now belongs to the range from here on: after a change that lasts."""
        outside = self.scores(fast) >= 0.5
        self.mean[outside] = fast[outside]

    def scores(self, fast: Floats) -> Floats:
        """(S,) how far the fast averages lie outside; 1.0 is the threshold."""
        return np.asarray(np.abs(fast - self.mean) / (SIGMAS * np.sqrt(self.variance)))
