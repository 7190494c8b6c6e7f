"""What a machine's normal looks like, learned from its first rows. Pure.

Robust location and scale per signal (median, 1.4826 · MAD), a noise ratio that tells white noise
from wandering (von Neumann 1941: var(Δz) / 2 var(z) is 1 for white noise and near 0 for a random
walk), and a shrunk precision matrix for "is this signal where the others say it should be".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CLIP = 80.0
"""Scaled values beyond this many spreads say no more than that; they must not own the averages."""
MAD_TO_SIGMA = 1.4826
SHRINK = 0.4
"""Share of the identity in the correlation matrix: keeps the inverse calm with few rows."""
FAST, SLOW = 1 / 15, 1 / 300
"""Weights of the newest row in the two moving averages whose difference is watched."""
STEADIER = 0.2
"""The baseline of a channel of white noise follows at this share of ``SLOW``: what never wanders
needs no following, and a slow fault in it is not swallowed."""
LEAST_NOISE = 0.15
NOISY_WEIGHT = 0.4
"""Weight of a signal with a noise ratio of about 0.3: below it a signal wanders."""
WEIGHT_POWER = 0.75
"""A channel's weight is its noise ratio, at least ``LEAST_NOISE``, to this power."""
RESIDUAL_WEIGHT = 0.9
"""A residual counts less than its signal: it errs as the model of the neighbours errs."""
DOUBT, DOUBT_POWER = 3.0, 3
"""With so many independent values a learned variance counts double; with three times as many it
counts nearly as it is, with a single one 28 times."""
CHANNEL_FLOOR = 0.15
"""Smallest spread of a tracking difference that is believed, in units of its white-noise value."""


@dataclass(slots=True)
class Profile:
    """Learned once per baseline. S signals; 2 S channels: the signals, then their residuals."""

    center: Floats
    """(S,) in the signals' units."""
    scale: Floats
    """(S,) robust standard deviation; 1 for inactive signals."""
    active: NDArray[np.bool_]
    """(S,) varied while learning; a constant carries no scale to judge by."""
    partial: NDArray[np.float32]
    """(S, S) maps scaled values to residuals; single precision, as it is most of the memory."""
    weight: Floats
    """(2 S,) 0 to 1: channels that wander count less."""
    follow: Floats
    """(2 S,) weight of the newest row in the baseline."""
    variance: Floats
    """(2 S,) variance of fast − slow in normal operation."""
    roughness: Floats
    """(S,) mean squared step of the scaled value from row to row."""
    fast: Floats
    """(2 S,) the fast average at the end of the learning rows."""
    slow: Floats
    """(2 S,) the slow average there."""

    def scaled(self, values: Floats) -> Floats:
        """(S,) values, none NaN among active ones, in robust standard deviations."""
        scaled = values - self.center
        scaled /= self.scale
        scaled *= self.active
        np.maximum(scaled, -CLIP, out=scaled)
        return np.minimum(scaled, CLIP, out=scaled)

    def channels(self, scaled: Floats) -> Floats:
        """(S,) scaled values → (2 S,) scaled values and residuals."""
        return np.concatenate((scaled, self.partial @ scaled.astype(np.float32)))


def learn(rows: Floats) -> Profile:
    """The profile of (N, S) rows in time order. NaN cells are holes."""
    known = _known(rows)
    filled = filled_rows(rows)
    center = np.median(filled, axis=0)
    spread = MAD_TO_SIGMA * np.median(np.abs(filled - center), axis=0)
    deviation = filled.std(axis=0)
    # A signal that mostly rests has a MAD of nothing; then its standard deviation must do.
    spread = np.where(spread > 0.05 * deviation, spread, deviation)
    active = known & (spread > 1e-9 * np.maximum(1e-6, np.abs(center)))
    scale = np.where(active, spread, 1.0)
    scaled = np.clip(np.where(active, (filled - center) / scale, 0.0), -CLIP, CLIP)
    partial = _partial(scaled, active)
    channels = np.hstack((scaled, scaled @ partial.T))
    steps = np.diff(channels, axis=0)
    total = np.maximum(channels.var(axis=0), 1e-12)
    noise = np.clip((steps**2).mean(axis=0) / (2 * total), 0.0, 1.0)
    both = np.concatenate((active, active & (active.sum() > 1)))
    size = len(active)
    # What is left of a wanderer once its neighbours are taken off wanders with it, however noisy
    # the neighbours make it look.
    trust = np.concatenate((noise[:size], np.minimum(noise[:size], noise[size:])))
    follow = SLOW * STEADIER**noise
    variance, fast, slow = _tracking(channels, noise, follow)
    return Profile(
        center=center,
        scale=scale,
        active=active,
        partial=partial.astype(np.float32),
        weight=np.where(both, np.maximum(trust, LEAST_NOISE) ** WEIGHT_POWER, 0.0)
        * np.repeat((1.0, RESIDUAL_WEIGHT), size),
        follow=follow,
        variance=variance,
        roughness=np.maximum((np.diff(scaled, axis=0) ** 2).mean(axis=0), 1e-6),
        fast=fast,
        slow=slow,
    )


def _known(rows: Floats) -> NDArray[np.bool_]:
    """(S,) signals that came with more than half of the (N, S) rows."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.isfinite(rows).mean(axis=0) > 0.5)


def filled_rows(rows: Floats) -> Floats:
    """(N, S) rows without holes: they take the last value before them, or the signal's median at
    the start; a signal that hardly came is all 0."""
    filled = np.where(_known(rows), rows, 0.0)
    for column in np.flatnonzero(~np.isfinite(filled).all(axis=0)).tolist():
        values = filled[:, column]
        good = np.isfinite(values)
        last = np.maximum.accumulate(np.where(good, np.arange(len(values)), -1))
        median = np.median(values[good])
        filled[:, column] = np.where(last >= 0, values[np.maximum(last, 0)], median)
    return filled


def _partial(scaled: Floats, active: NDArray[np.bool_]) -> Floats:
    """r_j = (P z)_j / P_jj: the distance from what the other signals predict, P the precision."""
    size = scaled.shape[1]
    result = np.zeros((size, size))
    index = np.flatnonzero(active)
    if len(index) < 2:
        return result
    correlation = np.corrcoef(scaled[:, index], rowvar=False)
    shrunk = (1 - SHRINK) * np.nan_to_num(correlation) + SHRINK * np.eye(len(index))
    precision = np.linalg.inv(shrunk)
    result[np.ix_(index, index)] = precision / np.diag(precision)[:, None]
    return result


def _tracking(channels: Floats, noise: Floats, follow: Floats) -> tuple[Floats, Floats, Floats]:
    """Variance of fast − slow: white noise through both filters, or the wandering that the
    learning rows showed, whichever is more; and both averages at the end of these rows.

    The slow average is a plain mean until it has seen as many rows as its memory is long.
    """
    head = max(1, len(channels) // 10)
    fast = slow = channels[:head].mean(axis=0)
    squares = np.zeros(channels.shape[1])
    burn_in = min(len(channels) // 3, 100)
    for number, row in enumerate(channels):
        fast = fast + FAST * (row - fast)
        slow = slow + np.maximum(follow, 1.0 / (number + head + 1)) * (row - slow)
        if number >= burn_in:
            squares += (fast - slow) ** 2
    # The difference forgets in about 1 / FAST rows each way: few rows hold few independent values
    # of it, and a variance from few values must be believed less (as in a t-test).
    independent = max(1.0, (len(channels) - burn_in) * FAST / 2)
    seen = squares / max(1, len(channels) - burn_in) * (1 + (DOUBT / independent) ** DOUBT_POWER)
    white = noise * channels.var(axis=0) * (FAST / (2 - FAST) + follow / (2 - follow))
    floor = CHANNEL_FLOOR**2 * FAST / (2 - FAST)
    return np.maximum(np.maximum(seen, white), floor), fast, slow
