"""Operating states of one machine: off, starting, running, several load levels. Pure.

A state is a level: what each signal does there when all is well. The tracker only ever sees the
distance from the level of the present state, so that running is compared with running and a stop
is no fault. A machine that keeps to one state has none of this and pays nothing for it.

Where states come from: a signal that the card names and whose value says the state; the learning
rows, where the machine jumped between flat levels; or what was seen since: a level that several
incidents were about, or that a person called expected. A level that a single incident settled on
may be left in silence, but not entered: the same fault is heard again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_agent.detect.profile import NOISY_WEIGHT, Floats, Profile

STATES_MAX = 8
NEAR, STAYS, ARRIVES = 0.15, 0.4, 0.25
"""A row belongs to a level that it lies this near to (root mean square over the signals that tell
levels apart, in their largest distance), and nearer than these shares of the way to the next one:
it stays within the one, and has arrived within the other."""
AGREE = 0.75
"""Share of these signals that must agree, the best of them: a fault in one is no other state."""
DETOUR = 1.25
"""On the way between two levels the distances to both add up to at most this many times theirs."""
ARRIVED_ROWS = 10
"""Rows near a level before the machine counts as being there."""
TRANSIT_ROWS = 60
"""A change that takes longer is judged like anything else."""
JUMP = 8.0
"""Two levels are states if they lie so many spreads apart in enough signals …"""
TOLD_BY = 0.5
"""… namely in this share of the signals that are never still, and in two at the least."""
VISITS = 3
"""So many incidents must have been about a level before it counts as a state."""
SKIP_ROWS, GATHER_ROWS = 20, 60
"""A state that the card's signal names for the first time is learned from so many rows, after so
many that belong to the change itself."""
LEARNED_ROWS = 400
"""A state that was learned with the machine is as old as this."""
CREEP = 0.25
"""A signal that still has this share of its way to go after the change creeps, as warmth does; it
does not tell states apart."""
OFF = frozenset({"off", "stopped", "standby", "idle"})
"""What a card may call a state in which the machine is off."""
UNREST_ROWS, UNREST_DECAY = 120, 1 / 500
"""So many rows after a change all that creeps may go its way; the room that it took is given back
at this rate."""
LONG_AGO = 1_000_000
AT_REST = 0.05
"""Share of its largest level below which a signal of a machine that is off lies."""


@dataclass(frozen=True, slots=True)
class StateSignal:
    """The signal that says the state."""

    index: int
    names: Mapping[float, str]
    """Value → name; another value is ``state N``."""

    def name(self, code: float) -> str:
        """The name of a code."""
        return self.names.get(code, f"state {code:g}")


@dataclass(frozen=True, slots=True)
class Measure:
    """How far a row lies from each of K levels."""

    told: NDArray[np.int64]
    """(T,) the signals that tell the levels apart."""
    scaled: Floats
    """(K, T) the levels in their largest distances."""
    apart: Floats
    """(T,)"""
    agree: int
    """So many of them are looked at, the nearest ones."""
    radius: Floats
    """(K,) distance to the next level, bounded so that ``ARRIVES`` of it is ``NEAR`` at most."""

    def distances(self, values: Floats) -> Floats:
        """(K,) root mean square; ``values``: (S,)."""
        off = self.scaled - values[self.told] / self.apart
        off *= off
        if self.agree < len(self.told):
            off = np.partition(off, self.agree - 1, axis=1)[:, : self.agree]
        return np.asarray(np.sqrt(off.mean(axis=1)))


def measure(centers: Floats, apart: Floats) -> Measure:
    """Of (K, S) levels; (S,) ``apart``. Where the levels differ in so few signals that the best of
    them would not tell, all are looked at."""
    told = np.flatnonzero(apart > 0.0)
    scaled, count = centers[:, told] / apart[told], len(told)
    for agree in (max(1, math.ceil(AGREE * count)), count):
        off = np.sort(np.square(scaled[:, None] - scaled[None]), axis=2)[:, :, :agree]
        between = np.sqrt(off.sum(axis=2) / max(1, agree))
        np.fill_diagonal(between, np.inf)
        if between.min(initial=np.inf) >= NEAR:
            break
    radius = np.minimum(NEAR / ARRIVES, between.min(axis=1, initial=np.inf))
    return Measure(told, scaled, apart[told], agree, radius)


@dataclass(slots=True)
class States:
    """K levels of S signals. Arrays with K rows grow up to ``STATES_MAX``."""

    centers: Floats
    """(K, S) in the signals' units."""
    slows: Floats
    """(K, 2 S) the tracker's baseline in each state, as it was when it was last left."""
    rows: NDArray[np.int64]
    """(K,) rows that were judged in it."""
    visits: NDArray[np.int64]
    """(K,) incidents that were about it; below zero where a person called one of them a fault."""
    known: NDArray[np.bool_]
    """(K,) part of operation: entering it is no fault."""
    codes: Floats
    """(K,) value of the state signal; NaN where none says it."""
    apart: Floats
    """(S,) largest distance between two levels; 0 for signals that do not tell them apart."""
    creeps: NDArray[np.bool_]
    """(S,) signals that were seen to go on moving slowly after a change."""
    unrest: Floats
    """(2 S,) variance that channels are allowed on top of their own after a change."""
    pictures: list[str]
    """(K,) fingerprint of the last incident about it."""
    now: int = 0
    since: int = LONG_AGO
    """Rows since the state was entered."""
    moving: int = 0
    """Rows that the present change takes so far."""
    arriving: int = 0
    gathered: Floats = field(default_factory=lambda: np.empty(0))
    """(S,) sum of the rows of a state that is being learned."""
    arrival: Floats = field(default_factory=lambda: np.empty(0))
    """(S,) the first of these rows."""
    gathering: int = 0
    _measured: Measure | None = field(default=None, init=False)
    signal: StateSignal | None = None
    """From the card; not part of a snapshot."""

    @classmethod
    def begin(cls, center: Floats, slow: Floats, code: float = np.nan) -> States:
        """A single state, the present one."""
        return cls(
            centers=center[None].copy(),
            slows=slow[None].copy(),
            rows=np.zeros(1, np.int64),
            visits=np.zeros(1, np.int64),
            known=np.ones(1, np.bool_),
            codes=np.array([code]),
            apart=np.zeros(len(center)),
            creeps=np.zeros(len(center), np.bool_),
            unrest=np.zeros(len(slow)),
            pictures=[""],
        )

    @classmethod
    def learned(
        cls, profile: Profile, shifts: Floats, codes: Floats, signal: StateSignal | None
    ) -> States:
        """The states that the learning rows showed: (K, S) ``shifts`` from the present one, which
        is the last; (K,) ``codes``."""
        states = cls.begin(profile.center, profile.slow)
        count = len(shifts)
        states.centers = profile.center + shifts
        states.slows = np.repeat(profile.slow[None], count, axis=0)
        states.rows = np.full(count, LEARNED_ROWS, np.int64)
        states.visits = np.zeros(count, np.int64)
        states.known = np.ones(count, np.bool_)
        states.codes, states.pictures = codes, [""] * count
        states.now, states.signal = count - 1, signal
        states.tell_apart(profile)
        return states

    def step(self, values: Floats) -> int | None:
        """Take one row's (S,) values: the state that they belong to, or None in the midst of a
        change, when nothing can be judged."""
        if self.signal is not None:
            return self._said(values, self.signal)
        if not self.apart.any():
            return self.now
        distance = self._distances(values)
        radius = self._measure().radius
        near = distance <= ARRIVES * radius
        if distance[self.now] <= STAYS * radius[self.now]:
            self.moving = self.arriving = 0
            self.since += 1
            self.rows[self.now] += 1
            return self.now
        others = np.where(self.known, distance, np.inf)
        others[self.now] = np.inf
        nearest = int(others.argmin())
        if near[nearest] and self.known[nearest]:
            self.arriving += 1
            return nearest if self.arriving >= ARRIVED_ROWS else self._in_transit()
        self.arriving = 0
        between = self._distances(self.centers[self.now])
        if bool((distance[self.now] + others <= DETOUR * between).any()):
            return self._in_transit()
        return self.now

    def _in_transit(self) -> int | None:
        self.moving += 1
        return None if self.moving <= TRANSIT_ROWS else self.now

    def _said(self, values: Floats, signal: StateSignal) -> int | None:
        code = float(values[signal.index])
        if code == self.codes[self.now] or not np.isfinite(code):
            self.moving = self.gathering = 0
            self.since += 1
            self.rows[self.now] += 1
            return self.now
        found = np.flatnonzero(self.codes == code)
        if len(found):
            place = int(found[0])
            self.gathering, self.moving = 0, self.moving + 1
            self.arriving = self.arriving + 1 if self._is_near(values, place) else 0
            there = self.arriving >= ARRIVED_ROWS or self.moving >= TRANSIT_ROWS
            return place if there else None
        return self._gather(values, code)

    def _is_near(self, values: Floats, place: int) -> bool:
        if not self.apart.any():
            return True
        return bool(self._distances(values)[place] <= ARRIVES * self._measure().radius[place])

    def _gather(self, values: Floats, code: float) -> int | None:
        """Learn a state that the signal names for the first time."""
        if self.gathering == 0 or self.gathered[self.signal.index] != code:  # type: ignore[union-attr]
            self.gathered, self.gathering = np.zeros(len(values)), 0
        self.gathering += 1
        if self.gathering == SKIP_ROWS:
            self.arrival = np.nan_to_num(values)
        if self.gathering > SKIP_ROWS:
            self.gathered += np.nan_to_num(values)
        self.gathered[self.signal.index] = code  # type: ignore[union-attr]
        if self.gathering < SKIP_ROWS + GATHER_ROWS:
            return None
        level = self.gathered / GATHER_ROWS
        level[self.signal.index] = code  # type: ignore[union-attr]
        self.gathering = 0
        left = np.abs(level - self.arrival)
        self.creeps |= left > CREEP * np.abs(level - self.centers[self.now])
        return self.add(level, np.zeros(2 * len(level)), known=True, code=code)

    def enter(self, index: int, slow: Floats | None) -> None:
        """Be in another state from now on; ``slow``: (2 S,) the baseline in the one that is
        left, None where an incident spoilt it."""
        if slow is not None:
            self.slows[self.now] = slow
        self.now, self.since, self.moving, self.arriving = index, 0, 0, 0

    def add(self, level: Floats, slow: Floats, *, known: bool, code: float = np.nan) -> int:
        """A new level; its index. The least known one goes where there are too many."""
        if len(self.centers) >= STATES_MAX:
            self._forget()
        self._measured = None
        self.centers = np.vstack((self.centers, level))
        self.slows = np.vstack((self.slows, slow))
        self.rows = np.append(self.rows, 0)
        self.visits = np.append(self.visits, 0)
        self.known = np.append(self.known, known)
        self.codes = np.append(self.codes, code)
        self.pictures.append("")
        return len(self.centers) - 1

    def _forget(self) -> None:
        worth = self.rows + 1_000_000 * self.known
        worth[self.now] = np.iinfo(np.int64).max
        keep = np.arange(len(worth)) != int(worth.argmin())
        self.now -= int((~keep[: self.now]).sum())
        self.pictures = [one for one, kept in zip(self.pictures, keep, strict=True) if kept]
        for name in ("centers", "slows", "rows", "visits", "known", "codes"):
            setattr(self, name, getattr(self, name)[keep])

    def recentre(self, center: Floats) -> None:
        """The present state's level is another one from here on."""
        self.centers[self.now] = center
        self._measured = None

    def tell_apart(self, profile: Profile) -> None:
        """Find the signals that tell the levels apart, after a level was added."""
        width = self.centers.max(axis=0) - self.centers.min(axis=0)
        self.apart = np.where(_told(profile, width) & ~self.creeps, width, 0.0)
        self._measured = None

    def match(self, level: Floats) -> int | None:
        """The state that lies near ``level``, the nearest one."""
        if not self.apart.any():
            return None
        distance = self._distances(level)
        nearest = int(distance.argmin())
        near = distance[nearest] <= ARRIVES * self._measure().radius[nearest]
        return nearest if near else None

    def visit(self, index: int, picture: str) -> None:
        """An incident is about this level; after some of them it is part of operation."""
        self.pictures[index] = picture
        self.visits[index] += 1
        if self.visits[index] >= VISITS:
            self.known[index] = True

    def refuse(self, picture: str) -> None:
        """A person said that incidents of this picture are a fault: its level is none of
        operation."""
        for index, one in enumerate(self.pictures):
            if one == picture:
                self.visits[index] = -1_000_000
                self.known[index] = False

    def _distances(self, values: Floats) -> Floats:
        """(K,) root mean square over the telling signals that agree best."""
        return self._measure().distances(values)

    def _measure(self) -> Measure:
        if self._measured is None:
            self._measured = measure(self.centers, self.apart)
        return self._measured

    @property
    def changing(self) -> bool:
        """In the midst of a change, or of learning a state."""
        return 0 < self.moving <= TRANSIT_ROWS or self.gathering > 0

    def at_rest(self, index: int) -> bool:
        """Whether the machine is off there: most of what tells its states apart is near zero."""
        if self.signal is not None and self._called(index) in OFF:
            return True
        told = self.apart > 0.0
        most = np.abs(self.centers[:, told]).max(axis=0, initial=0.0)
        zero = np.abs(self.centers[index, told]) <= AT_REST * most
        return bool(zero.size and 2 * zero.sum() > zero.size)

    def _called(self, index: int) -> str:
        return "" if self.signal is None else self.signal.name(float(self.codes[index])).casefold()

    def jumps(self) -> NDArray[np.bool_]:
        """(2 S,) channels that are at their new level as soon as the state changed."""
        return np.concatenate((self.apart > 0.0, np.zeros(len(self.apart), np.bool_)))

    def settle(self, difference: Floats, variance: Floats, weight: Floats, bound: float) -> None:
        """Give channels room that creep after a change: (2 S,) ``difference`` of their averages,
        its usual ``variance``, their ``weight``; ``bound``: weighted deviations that are quiet."""
        if self.since <= UNREST_ROWS:
            room = np.square(difference * weight / bound) - variance
            room[self.jumps()] = 0.0
            np.maximum(self.unrest, room, out=self.unrest)
        elif self.since < LONG_AGO:
            self.unrest *= 1.0 - UNREST_DECAY

    def name(self) -> str:
        """The present state, for people."""
        if self.signal is not None:
            code = self.codes[self.now]
            if self.gathering:
                code = self.gathered[self.signal.index]
            return self.signal.name(float(code))
        if self.changing:
            return "starting" if self.at_rest(self.now) else "changing"
        if self.at_rest(self.now):
            return "off"
        if not self.known[self.now]:
            return "new level"
        running = [i for i in range(len(self.centers)) if self.known[i] and not self.at_rest(i)]
        if len(running) < 2:
            return "running"
        return f"load {sorted(running, key=self._load).index(self.now) + 1}"

    def _load(self, index: int) -> float:
        told = self.apart > 0.0
        return float((np.abs(self.centers[index, told]) / self.apart[told]).sum())


def telling(profile: Profile, width: Floats) -> NDArray[np.bool_]:
    """(S,) the signals that tell levels ``width`` (S,) apart from each other; none where too few
    of the machine's signals jumped for it to be another state."""
    told = _told(profile, width)
    enough = int(told.sum()) >= max(2.0, TOLD_BY * int(_lively(profile).sum()))
    return told if enough else np.zeros(len(width), np.bool_)


def _told(profile: Profile, width: Floats) -> NDArray[np.bool_]:
    return np.asarray(_lively(profile) & (np.abs(width) >= JUMP * profile.scale))


def _lively(profile: Profile) -> NDArray[np.bool_]:
    return np.asarray(profile.active & (profile.weight[: len(profile.center)] >= NOISY_WEIGHT))
