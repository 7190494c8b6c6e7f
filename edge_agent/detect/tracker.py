"""Follows a machine row by row: how far has it left what it did a while ago? Pure.

Two exponentially weighted averages per channel (Roberts 1959, EWMA charts): the fast one is now,
the slow one is the baseline that follows warm-up and ambient drift. Their difference, against the
variance that it has in normal operation, is the channel's score. Inside an incident the baseline
of deviating channels nearly stands still, so that a fault does not become the new normal.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_agent.detect.custom import Custom
from edge_agent.detect.limits import Limits
from edge_agent.detect.plant import Plant, learn_plant
from edge_agent.detect.profile import CLIP, FAST, NOISY_WEIGHT, Floats, Profile
from edge_agent.detect.spectrum import Spectrum
from edge_agent.detect.states import States, telling

THRESHOLD = 5.0
"""Standard deviations of fast − slow, weighted, that make the score 1.0."""
ADAPT = 1 / 1000
"""Rate at which the variance of the difference follows, outside incidents."""
SLOWER = 40.0
"""Inside an incident the baseline of a deviating channel follows this many times slower."""
CAUSE, CAUSE_ROWS = 0.5, 30
"""Channels that reached this share of the highest peak in the first rows of an incident are what
it is about. Later only they keep it open: a wanderer that strays meanwhile is no fault."""
YOUNG, OLD = 15, 1500
"""A baseline set anew counts as the mean of so many rows, and after so many as an old one."""
ENERGY = 7.0
"""Usual deviations of the channels' mean square above its usual value that make 1.0: many signals
that each moved a little."""
SHIFTING = 0.5
"""Score of a shift from which on a signal's swings are not listened to."""
ROUGH = 12.0
"""Ratio of a signal's short-term roughness to its normal one that makes the spread score 1.0."""
ROUGH_RATE = 1 / 20
AFTER_CHANGE = 1 / 60
"""Rate of a baseline that creeps after a change of the operating state."""
LOOSER = 4.0
"""Factor on the variance of what settled at another level."""
CREEPING = 0.2
"""A signal whose last value is this share of its way ahead of its average is still moving."""
STILL_ROWS, GONE_ROWS, ABSURD_ROWS = 30, 60, 5
"""Rows after which a signal counts as frozen (at the least), as missing, as absurd."""


@dataclass(slots=True)
class Tracker:
    """The moving state of one machine. S signals, 2 S channels (see ``Profile.channels``)."""

    profile: Profile
    fast: Floats
    slow: Floats
    variance: Floats
    last: Floats
    recent: Floats
    """(2, S) the scaled values of the last two rows, oldest first."""
    peaks: Floats
    """(2 S,) highest score of each channel early in the open incident."""
    energy: Floats
    """(2,) the channels' mean square in normal operation, and its usual deviation."""
    age: NDArray[np.int64]
    """(1,) rows since the baseline was last set anew; a young one is a plain mean."""
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
    custom: Custom
    plant: Plant | None
    """None for a machine that does not keep to one operating point."""
    spectrum: Spectrum
    limits: Limits | None = None
    """What the card says; not part of a snapshot, since the card may change."""
    states: States | None = None
    """None for a machine that keeps to one operating state."""
    _scores: Floats | None = field(default=None, init=False)
    _square: float | None = field(default=None, init=False)
    _whole: bool = field(default=False, init=False)
    """Every signal came with the last row."""
    _spreads: Floats = field(init=False)
    """(S,) what turns roughness into a score: 0 for signals that it says nothing of."""

    def __post_init__(self) -> None:
        self._spreads = self._noisy() / ROUGH

    @classmethod
    def begin(cls, profile: Profile, rows: Floats, process: bool = False) -> Tracker:
        """Start from the learning rows: their end is now, and the baseline. ``process``: the card
        says that it is a plant under control."""
        size = len(profile.center)
        scaled = profile.scaled(_held(rows))
        return cls(
            profile=profile,
            fast=profile.fast.copy(),
            slow=profile.slow.copy(),
            variance=profile.variance.copy(),
            last=np.nan_to_num(rows[-1]),
            recent=np.stack([profile.scaled(np.nan_to_num(row)) for row in rows[-2:]]),
            peaks=np.zeros(2 * size),
            energy=np.ones(2),
            age=np.array([OLD]),
            rough=np.ones(size),
            still=np.zeros(size, np.int64),
            longest_still=_longest_rests(rows),
            gone=np.zeros(size, np.int64),
            bad=np.zeros(size, np.int64),
            custom=Custom.begin(scaled),
            plant=learn_plant(scaled, profile.active, process),
            spectrum=Spectrum.learn(
                _swings(scaled), profile.active & (profile.weight[:size] >= NOISY_WEIGHT)
            ),
        )

    def step(
        self,
        values: Floats,
        fresh: NDArray[np.bool_],
        broken: NDArray[np.bool_],
        inside: bool,
        held: bool = False,
        elapsed: float = 0.0,
    ) -> None:
        """Take one row. ``inside``: an incident is open; ``held``: the baseline stays as it is;
        ``elapsed``: source seconds since the row before."""
        values = self._arrived(values, fresh, broken)
        if self.states is not None and not self._placed(self.states, values, inside):
            return
        channels = self._channels(values, fresh)
        self.fast += FAST * (channels - self.fast)
        difference = self.fast - self.slow
        if not held:
            self.custom.follow(channels[: len(values)], elapsed)
            self.slow += self._rate(difference, inside) * (channels - self.slow)
            if not inside:
                bounded = np.minimum(difference * difference, 9.0 * self.variance)
                self.variance += ADAPT * (bounded - self.variance)
        if self.states is not None:
            self.states.settle(difference, self.variance, self.profile.weight, 0.5 * THRESHOLD)
        self._scores, self._square = self._weigh(), None
        quiet = not (held or inside)
        size = len(self.last)
        due = self.spectrum.step(self.recent[1], self.fast[:size])
        if due:
            self.spectrum.turn(self._scores[:size] >= SHIFTING, quiet)
        if quiet:
            self._follow_energy()
            if due:
                self._keep_in_range()

    def _arrived(
        self, values: Floats, fresh: NDArray[np.bool_], broken: NDArray[np.bool_]
    ) -> Floats:
        """(S,) the row's values, held ones where none came; counts what did not come or move."""
        if fresh.all():
            if not self._whole:
                self.gone[:] = 0
                self.bad[:] = 0
                self._whole = True
            self.still += 1
        else:
            self._whole = False
            values = np.where(np.isfinite(values), values, self.last)
            self.gone = np.where(fresh, 0, self.gone + 1)
            self.bad = np.where(broken, self.bad + 1, np.where(fresh, 0, self.bad))
            self.still += fresh
        # A value that did not come is the last one, so that it never counts as moved.
        self.still[values != self.last] = 0
        self.last = values
        return values

    def _channels(self, values: Floats, fresh: NDArray[np.bool_]) -> Floats:
        """(2 S,) the row's channels, from the median of its last three values: a single spike
        says nothing of the machine."""
        scaled = self.profile.scaled(values)
        before, last = self.recent
        step = scaled - last
        step *= step
        step /= self.profile.roughness
        np.minimum(step, 100.0, out=step)
        self.rough += ROUGH_RATE * (step - self.rough) * fresh
        if self.plant is not None:
            self.plant.step(scaled)
        middle = np.maximum(np.minimum(before, last), np.minimum(np.maximum(before, last), scaled))
        before[:] = last
        last[:] = scaled
        return self.profile.channels(middle)

    def _rate(self, difference: Floats, inside: bool) -> Floats:
        """(2 S,) how fast each channel's baseline follows now."""
        rate = self.profile.follow
        if inside:
            bound = 0.5 * THRESHOLD * np.sqrt(self.variance)
            deviating = np.abs(difference) * self.profile.weight > bound
            return np.asarray(np.where(deviating, rate / SLOWER, rate))
        if self.age[0] < OLD:
            self.age += 1
            rate = np.maximum(rate, 1.0 / (YOUNG + self.age[0]))
        if self.states is not None and self.states.since < OLD:
            # What does not jump with the state goes its own way after a change, as warmth does.
            rate = np.where(self.states.jumps(), rate, np.maximum(rate, AFTER_CHANGE))
        return np.asarray(rate)

    def channel_scores(self) -> Floats:
        """(2 S,) distance of each channel from its baseline; 1.0 is the threshold."""
        if self._scores is None:
            self._scores = self._weigh()
        return self._scores

    def _weigh(self) -> Floats:
        distance = np.abs(self.fast - self.slow)
        distance *= self.profile.weight
        variance = self.variance if self.states is None else self.variance + self.states.unrest
        distance /= THRESHOLD * np.sqrt(variance)
        return distance

    def shift_scores(self) -> Floats:
        """(S,) score of each signal's shift in mean, itself or against its neighbours."""
        scores = self.channel_scores()
        size = len(self.last)
        shifts = np.maximum(scores[:size], scores[size:])
        if self.custom.known:
            np.maximum(shifts, self.range_scores(), out=shifts)
        limits = self.limits_in_force()
        if limits is not None:
            np.maximum(shifts, limits.scores(self.levels()), out=shifts)
        return shifts

    def limits_in_force(self) -> Limits | None:
        """The card's ranges, which hold in operation: of a machine that is off they say nothing."""
        return None if self.limits is None or self._at_rest() else self.limits

    def _at_rest(self) -> bool:
        return self.states is not None and self.states.at_rest(self.states.now)

    def levels(self) -> Floats:
        """(S,) the fast averages in the signals' units."""
        profile = self.profile
        level = profile.center + self.fast[: len(self.last)] * profile.scale
        return np.where(profile.active, level, self.last)

    def range_scores(self) -> Floats:
        """(S,) score of each signal's distance from the range that it keeps to over days."""
        if not self.custom.known:
            return np.zeros(len(self.last))
        return self.custom.scores(self.fast[: len(self.last)])

    def energy_score(self) -> float:
        """How far all channels together have left their usual mean square; 1.0 is the threshold."""
        usual, deviation = self.energy.tolist()
        moved = float((self._mean_square() - usual) / (ENERGY * deviation))
        return moved if self.plant is None else max(moved, self.plant.score())

    @property
    def lasts(self) -> bool:
        """A plant that is off its operating point never becomes usual by mere time."""
        return self.plant is not None and self.plant.score() >= 1.0

    def _mean_square(self) -> float:
        if self._square is None:
            squares = THRESHOLD * self.channel_scores()
            squares *= squares
            np.minimum(squares, 100.0, out=squares)
            self._square = float(squares.sum()) / max(1, len(squares))
        return self._square

    def _follow_energy(self) -> None:
        usual, deviation = self.energy.tolist()
        off = min(max(self._mean_square() - usual, -3.0 * deviation), 3.0 * deviation)
        self.energy[0] = usual + ADAPT * off
        self.energy[1] = max(0.1, deviation + ADAPT * (1.25 * abs(off) - deviation))

    def incident_score(self, rows: int) -> float:
        """Score of the shifts that an incident, ``rows`` old, is about."""
        scores = self.channel_scores()
        outside = float(self.range_scores().max(initial=0.0)) if self.custom.known else 0.0
        limits = self.limits_in_force()
        if limits is not None:
            outside = float(limits.scores(self.levels()).max(initial=outside))
        if rows < CAUSE_ROWS:
            np.maximum(self.peaks, scores, out=self.peaks)
            return float(scores.max(initial=outside))
        about = self.peaks >= CAUSE * self.peaks.max(initial=0.0)
        return float(scores[about].max(initial=outside))

    def swing_scores(self) -> Floats:
        """(S,) score of each signal's swings around its mean."""
        return self.spectrum.scores()

    def spread_scores(self) -> Floats:
        """(S,) score of each signal's growth in spread."""
        return np.asarray(self.rough * self._spreads)

    def instruments(self) -> NDArray[np.bool_] | None:
        """(S,) signals whose instrument is in doubt; None if there is nothing to look at."""
        if self._whole and self.still.max(initial=0) < STILL_ROWS:
            return None
        return self.frozen() | self.missing() | self.absurd()

    def frozen(self) -> NDArray[np.bool_]:
        """(S,) stands still for longer than it ever did, though it normally moves all the time."""
        patience = np.maximum(STILL_ROWS, 10 * self.longest_still)
        if self._at_rest():
            return np.zeros(len(self.last), np.bool_)
        lively = self.longest_still < 20
        return self._noisy() & lively & (self.still >= patience)

    def steady(self) -> NDArray[np.bool_]:
        """(S,) signals that do not wander: a shift of one alone says something."""
        return self.profile.active & self._noisy()

    def _noisy(self) -> NDArray[np.bool_]:
        """(S,) is never still in normal operation. Of a smooth signal (a historian draws straight
        lines between its samples) neither a rest nor a sudden step says anything."""
        return self.profile.weight[: len(self.last)] >= NOISY_WEIGHT

    def missing(self) -> NDArray[np.bool_]:
        """(S,) stopped coming while others come."""
        return self.gone >= GONE_ROWS

    def absurd(self) -> NDArray[np.bool_]:
        """(S,) says things that no sensor in order says."""
        return self.bad >= ABSURD_ROWS

    def loosen(self) -> None:
        """A change that lasted became the new normal: the channels that it was about wander more
        than the learning rows showed, and count half from here on, until they proved calm."""
        about = self.peaks >= CAUSE * self.peaks.max(initial=0.0)
        about &= self.peaks >= 1.0
        self.variance[about] *= LOOSER

    def _keep_in_range(self) -> None:
        """Move the centre of a signal whose baseline wandered far along; nothing else changes."""
        size = len(self.last)
        off = np.where(np.abs(self.slow[:size]) >= CLIP / 2, self.slow[:size], 0.0)
        if not off.any():
            return
        self.profile.center = self.profile.center + off * self.profile.scale
        moved = self.profile.channels(off)
        self.fast, self.slow = self.fast - moved, self.slow - moved
        self.recent -= off
        self.custom.mean -= off
        if self.plant is not None:
            self.plant.center -= off
        if self.states is not None:
            self.states.recentre(self.profile.center)

    def _recentre(self) -> None:
        """A signal that went far would leave the range in which its values are told apart."""
        size = len(self.last)
        far = self.profile.active & (np.abs(self.fast[:size]) >= CLIP / 4)
        if not far.any():
            return
        self.profile.center = np.where(far, self.last, self.profile.center)
        self.custom.mean[far] = 0.0
        self.recent[:, far] = 0.0
        self.fast[:size][far] = 0.0
        self.fast = self.profile.channels(self.fast[:size])
        if self.states is not None:
            self.states.recentre(self.profile.center)

    def _placed(self, states: States, values: Floats, inside: bool) -> bool:
        """Whether the row can be judged; goes over to the operating state that it belongs to."""
        place = states.step(values)
        if place is not None and place != states.now:
            self._enter(states, place, values, None if inside else self.slow)
        return place is not None

    def _enter(self, states: States, place: int, values: Floats, left: Floats | None) -> None:
        """Be in another operating state, which the row of (S,) ``values`` belongs to; ``left``:
        (2 S,) the baseline in the present one, if it is in order."""
        states.enter(place, left)
        states.tell_apart(self.profile)
        profile = self.profile
        profile.center = states.centers[place].copy()
        scaled = profile.scaled(values)
        self.slow = np.where(
            profile.weight < NOISY_WEIGHT, profile.channels(scaled), states.slows[place]
        )
        self.fast = self.slow.copy()
        self.recent[:] = scaled
        self.spectrum.interrupted()
        self.rough, self.still = np.ones_like(self.rough), np.zeros_like(self.still)
        self.age[0] = min(OLD, int(states.rows[place]))
        self._scores = self._square = None

    def visit(self, baseline: Floats, picture: str) -> None:
        """An incident has been about the level of now for a while; ``baseline``: (2 S,) before it,
        ``picture``: its fingerprint. Only a flat level that many signals jumped to counts."""
        place = self._level(baseline)
        if place is not None and self.states is not None:
            self.states.visit(place, picture)

    def accept_level(self, baseline: Floats, *, known: bool) -> None:
        """The level of now is an operating state from here on, if it is one; ``known``: a person
        said that it is meant."""
        place = self._level(baseline)
        if place is None or self.states is None:
            return
        self.states.known[place] |= known
        if place != self.states.now:
            self._enter(self.states, place, self.levels(), baseline)

    def _level(self, baseline: Floats) -> int | None:
        """The state of the present level, added where it is new; None where it is no level that
        many signals jumped to."""
        center, level = self.profile.center, self.levels()
        bound = np.maximum(CREEPING * np.abs(level - center), 2.0 * self.profile.scale)
        flat = np.abs(self.last - level) <= bound
        told = telling(self.profile, np.where(flat, level - center, 0.0))
        if not told.any():
            return None
        if self.states is None:
            self.states = States.begin(center, baseline)
        place = self.states.match(level)
        if place is None:
            place = self.states.add(np.where(told, level, center), baseline, known=False)
            self.states.tell_apart(self.profile)
        return place

    def rebase(self) -> None:
        """What is now becomes the baseline: after a change that lasts."""
        self._recentre()
        self.slow = self.fast.copy()
        self._scores = self._square = None
        self.spectrum.accept()
        if self.custom.known:
            self.custom.accept(self.fast[: len(self.last)])
        if self.limits is not None:
            self.limits.accept(self.levels())
        if self.plant is not None:
            self.plant.accept(self.fast[: len(self.last)])
        self.age[:] = 0
        self.rough = np.ones_like(self.rough)
        self.peaks[:] = 0.0


def _held(rows: Floats) -> Floats:
    """(N, S) rows without holes: the column's median stands in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        middle = np.nan_to_num(np.nanmedian(rows, axis=0))
    return np.where(np.isfinite(rows), rows, middle)


def _swings(scaled: Floats) -> Floats:
    """(N, S) distances of scaled rows from their moving average."""
    fast, swings = scaled[:10].mean(axis=0), np.empty_like(scaled)
    for number, row in enumerate(scaled):
        fast = fast + FAST * (row - fast)
        swings[number] = row - fast
    return swings


def _longest_rests(rows: Floats) -> NDArray[np.int64]:
    """(S,) longest run of equal values in each column of (N, S) rows."""
    longest = np.zeros(rows.shape[1], np.int64)
    run = np.zeros(rows.shape[1], np.int64)
    for number in range(1, len(rows)):
        run = np.where(rows[number] == rows[number - 1], run + 1, 0)
        longest = np.maximum(longest, run)
    return longest
