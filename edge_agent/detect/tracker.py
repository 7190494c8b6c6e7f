"""Follows a machine row by row: how far has it left what it did a while ago? Pure.

Two exponentially weighted averages per channel (Roberts 1959, EWMA charts): the fast one is now,
the slow one is the baseline that follows warm-up and ambient drift. Their difference, against the
variance that it has in normal operation, is the channel's score. Inside an incident the baseline
of deviating channels nearly stands still, so that a fault does not become the new normal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.detect.profile import FAST, SLOW, Floats, Profile

THRESHOLD = 5.0
"""Standard deviations of fast − slow, weighted, that make the score 1.0."""
ADAPT = 1 / 2000
"""Rate at which the variance of the difference follows, outside incidents."""
SLOWER = 10.0
"""Inside an incident the baseline of a deviating channel follows this many times slower."""
ROUGH = 12.0
"""Ratio of a signal's short-term roughness to its normal one that makes the spread score 1.0."""
ROUGH_RATE = 1 / 20


@dataclass(slots=True)
class Tracker:
    """The moving state of one machine. S signals, 2 S channels (see ``Profile.channels``)."""

    profile: Profile
    fast: Floats
    slow: Floats
    variance: Floats
    last: Floats
    rough: Floats
    """(S,) moving average of squared steps over the normal one; about 1 in normal operation."""
    still: NDArray[np.int64]
    """(S,) rows since the value last changed."""
    longest_still: NDArray[np.int64]
    """(S,) the longest such rest in normal operation."""
    gone: NDArray[np.int64]
    """(S,) rows since the last believable value."""
    bad: NDArray[np.int64]
    """(S,) rows in a row with an absurd value."""

    @classmethod
    def begin(cls, profile: Profile, rows: Floats) -> Tracker:
        """Start from the learning rows: their end is now, and the baseline."""
        size = len(profile.center)
        tail = np.median(np.nan_to_num(rows[-30:]), axis=0)
        channels = profile.channels(tail)
        return cls(
            profile=profile,
            fast=channels.copy(),
            slow=channels.copy(),
            variance=profile.variance.copy(),
            last=np.nan_to_num(rows[-1]),
            rough=np.ones(size),
            still=np.zeros(size, np.int64),
            longest_still=_longest_rests(rows),
            gone=np.zeros(size, np.int64),
            bad=np.zeros(size, np.int64),
        )

    def step(
        self, values: Floats, fresh: NDArray[np.bool_], broken: NDArray[np.bool_], inside: bool
    ) -> None:
        """Take one row. ``inside``: an incident is open."""
        values = np.where(np.isfinite(values), values, self.last)
        self.gone = np.where(fresh, 0, self.gone + 1)
        self.bad = np.where(broken, self.bad + 1, np.where(fresh, 0, self.bad))
        self.still = np.where(fresh & (values != self.last), 0, self.still + fresh)
        size = len(values)
        channels = self.profile.channels(values)
        before = self.profile.channels(self.last)[:size]
        step = (channels[:size] - before) ** 2 / self.profile.roughness
        self.rough += ROUGH_RATE * (np.minimum(step, 100.0) - self.rough) * fresh
        self.last = values
        self.fast += FAST * (channels - self.fast)
        difference = self.fast - self.slow
        deviating = np.abs(difference) * self.profile.weight > 0.5 * THRESHOLD * np.sqrt(
            self.variance
        )
        rate = np.where(deviating, SLOW / SLOWER, SLOW) if inside else SLOW
        self.slow += rate * (channels - self.slow)
        if not inside:
            bounded = np.minimum(difference**2, 9.0 * self.variance)
            self.variance += ADAPT * (bounded - self.variance)

    def shift_scores(self) -> Floats:
        """(S,) score of each signal's shift in mean, itself or against its neighbours; 1.0 is the
        threshold."""
        size = len(self.last)
        scores = (
            np.abs(self.fast - self.slow)
            * self.profile.weight
            / (THRESHOLD * np.sqrt(self.variance))
        )
        return np.maximum(scores[:size], scores[size:])

    def spread_scores(self) -> Floats:
        """(S,) score of each signal's growth in spread."""
        return np.where(self.profile.active, self.rough / ROUGH, 0.0)

    def frozen(self) -> NDArray[np.bool_]:
        """(S,) stands still for longer than it ever did, though it normally moves all the time."""
        patience = np.maximum(30, 10 * self.longest_still)
        lively = self.longest_still < 20
        return self.profile.active & lively & (self.still >= patience)

    def missing(self) -> NDArray[np.bool_]:
        """(S,) stopped coming while others come."""
        return self.gone >= 60

    def absurd(self) -> NDArray[np.bool_]:
        """(S,) says things that no sensor in order says."""
        return self.bad >= 5

    def rebase(self) -> None:
        """What is now becomes the baseline: after a change that lasts."""
        self.slow = self.fast.copy()
        self.rough = np.ones_like(self.rough)


def _longest_rests(rows: Floats) -> NDArray[np.int64]:
    """(S,) longest run of equal values in each column of (N, S) rows."""
    longest = np.zeros(rows.shape[1], np.int64)
    run = np.zeros(rows.shape[1], np.int64)
    for number in range(1, len(rows)):
        run = np.where(rows[number] == rows[number - 1], run + 1, 0)
        longest = np.maximum(longest, run)
    return longest


def sigma_of(tracker: Tracker, baseline: Floats) -> Floats:
    """(S,) signed distance of now from ``baseline`` (scaled) in robust standard deviations."""
    size = len(tracker.last)
    distance = tracker.fast[:size] - baseline[:size]
    return np.where(np.isfinite(distance), distance, math.inf)
