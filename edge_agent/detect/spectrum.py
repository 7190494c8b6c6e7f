"""Swings of a signal: a loop that hunts, a tone of a bearing, while the mean stays. Pure.

A bank of leaky resonators, one complex number c per signal and frequency ω:
c ← c·(1 − 1/M)·e^{iω} + x, the Fourier sum of x under an exponential window, updated row by row
(the sliding DFT of Jacobsen and Lyons 2003, with forgetting). |c|² is the power around ω. Its
moving average is held against what it was while the machine was learned, and against the other
frequencies now: a signal that fluctuates more at all of them does not swing. Frequencies are per
row: a machine whose rows are 20 ms apart is heard up to 20 Hz, one with a row a second to 0.4 Hz.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_agent.detect.profile import DOUBT, DOUBT_POWER, Floats

Powers = NDArray[np.float32]

PERIODS = np.geomspace(2.5, 32.0, 12)
"""Rows of a swing that each resonator listens to."""
CYCLES = 2.0
"""Memory of a resonator in periods: a tone half way to the next one still counts."""
AVERAGED = 3.0
"""Memory of the power's average in memories of its resonator: about twelve degrees of freedom."""
EVERY = 8
"""Rows that are gathered before the resonators take them, all at once."""
TIMES = 15.0
"""Times the usual power that make the score 1.0."""
CLIP = 4.0
"""Spreads beyond which a value adds no more."""
LEARNED = 1 / 1000
"""Rate at which the usual power follows, outside incidents."""
CALM = 3.0
"""More than so many times the usual power teaches nothing."""
LEAST_SHARE = 0.5
"""The usual power is believed down to this share of what white noise of the signal has there."""

_MEMORY = CYCLES * PERIODS
_TURN = ((1.0 - 1.0 / _MEMORY) * np.exp(2j * np.pi / PERIODS)).astype(np.complex64)[:, None]
_WHOLE = _TURN**EVERY
_TURNS = _TURN ** np.arange(EVERY - 1, -1, -1)
"""(K, EVERY) what each gathered row has turned by when the last one came."""
_RATE = np.minimum(1.0, EVERY / (AVERAGED * _MEMORY)).astype(np.float32)[:, None]
_WHITE = (1.0 / (1.0 - (1.0 - 1.0 / _MEMORY) ** 2)).astype(np.float32)[:, None]
"""|c|² of white noise with variance 1."""


@dataclass(slots=True)
class Spectrum:
    """The swings of S signals at K periods."""

    turning: NDArray[np.complex64]
    """(K, S) the resonators."""
    power: Powers
    """(K, S) averaged |c|²."""
    usual: Powers
    """(K, S) the same in normal operation; infinite where nothing is said."""
    gathered: Powers
    """(EVERY, S) the rows since the resonators last turned."""
    row: NDArray[np.int64]
    """(1,) how many there are."""
    _scores: Floats | None = field(default=None, init=False)

    @classmethod
    def learn(cls, off: Floats, lively: NDArray[np.bool_]) -> Spectrum:
        """From (N, S) distances of the learning rows from their moving average; ``lively``: (S,)
        the signals that are never still: of others a swing in a few rows says nothing."""
        shape = (len(PERIODS), off.shape[1])
        bank = cls(
            np.zeros(shape, np.complex64),
            np.zeros(shape, np.float32),
            np.full(shape, np.inf, np.float32),
            np.zeros((EVERY, off.shape[1]), np.float32),
            np.zeros(1, np.int64),
        )
        total = np.zeros(shape)
        for row in np.clip(off, -CLIP, CLIP):
            bank.turning *= _TURN
            bank.turning += row.astype(np.float32)
            total += np.square(np.abs(bank.turning))
        mean = total / max(1, len(off))
        independent = np.maximum(1.0, len(off) / (2.0 * _MEMORY))[:, None]
        white = LEAST_SHARE * _WHITE * np.square(np.clip(off, -CLIP, CLIP)).mean(axis=0)
        usual = np.maximum(mean * (1.0 + (DOUBT / independent) ** DOUBT_POWER), white)
        bank.usual = np.where(lively & (usual > 1e-9), usual, np.inf).astype(np.float32)
        bank.power = np.where(np.isfinite(bank.usual), mean, 0.0).astype(np.float32)
        return bank

    def step(self, scaled: Floats, average: Floats) -> bool:
        """Take one row's (S,) values and their moving average; whether ``turn`` is due."""
        number = int(self.row[0])
        np.subtract(scaled, average, out=self.gathered[number], casting="same_kind")
        self.row[0] = number + 1
        return number + 1 == EVERY

    def turn(self, moving: NDArray[np.bool_], quiet: bool) -> None:
        """Turn the resonators by what was gathered. ``moving``: (S,) signals on their way to
        another level, which do not swing; ``quiet``: normal operation, from which is learned."""
        self.row[0] = 0
        np.maximum(self.gathered, -CLIP, out=self.gathered)
        np.minimum(self.gathered, CLIP, out=self.gathered)
        self.gathered[:, moving] = 0.0
        self.turning *= _WHOLE
        self.turning += _TURNS @ self.gathered
        power = np.square(self.turning.real)
        power += np.square(self.turning.imag)
        self.power += _RATE * (power - self.power)
        self._scores = None
        if quiet:
            calm = self.power < CALM * self.usual
            calm &= self.usual < np.inf
            self.usual[calm] += LEARNED * EVERY * (self.power[calm] - self.usual[calm])

    def scores(self) -> Floats:
        """(S,) 1.0 is the threshold. Not to be changed by the caller."""
        if self._scores is None:
            ratio = np.sort(self.power / self.usual, axis=0)
            ratio[-1] /= np.maximum(1.0, ratio[len(PERIODS) // 2])
            self._scores = (ratio[-1] / TIMES).astype(np.float64)
        return self._scores

    def period(self, index: int) -> float:
        """Rows of the swing that stands out most in a signal."""
        return float(PERIODS[int((self.power[:, index] / self.usual[:, index]).argmax())])

    def accept(self) -> None:
        """The swings of now are usual from here on."""
        np.maximum(self.usual, self.power, out=self.usual)
        self._scores = None

    def interrupted(self) -> None:
        """The machine went over to another state: what swung before is over."""
        self.turning[:] = 0.0
        self.gathered[:] = 0.0
        np.minimum(self.power, self.usual, out=self.power)
        self._scores = None
