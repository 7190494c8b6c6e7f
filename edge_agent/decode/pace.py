"""How far a source's clock can be believed: late and future timestamps. Pure.

A source is judged by its own pace and not by our clock, which may be years off on a gateway that
booted without network, as may the source's: a recording played fast, or a machine whose clock is
wrong by a constant, is as good as any. What is told from it is the leap: a time far ahead of the
pace so far, or behind what was already said.
"""

from __future__ import annotations

from edge_agent.domain.telemetry import Quality

AGREEING = 10
"""Readings in a row that must agree on a new time before a leap is believed."""

STEPS = 10.0
"""A step of up to this many times the last one is no leap, however long."""


class Pace:
    """The time of one topic. ``skew``: arrival minus source time of the newest reading, seconds."""

    __slots__ = ("_arrived", "_doubt", "_doubted", "_doubted_step", "_step", "newest", "skew")

    def __init__(self) -> None:
        self.newest: float | None = None
        self.skew = 0.0
        self._arrived = 0.0
        self._step: float | None = None
        self._doubt = 0
        self._doubted = 0.0
        self._doubted_step = 0.0

    def judge(self, at: float, arrived: float, late_s: float, future_s: float) -> Quality:
        """Quality of a reading with source time ``at`` that arrived at ``arrived``."""
        newest = self.newest
        if newest is not None:
            step = at - newest
            if step < 0:
                if step >= -late_s:
                    return Quality.GOOD
                if not self._agreed(at, late_s):
                    return Quality.LATE
            elif step > future_s and self._step is not None:
                leap = step - (arrived - self._arrived)
                believed = leap <= future_s or step <= STEPS * self._step
                if not believed and not self._agreed(at, future_s):
                    return Quality.FUTURE
            self._step = step if self._doubt == 0 else self._doubted_step
        self._doubt = 0
        self.newest = at
        self._arrived = arrived
        self.skew = arrived - at
        return Quality.GOOD

    def _agreed(self, at: float, span: float) -> bool:
        """Whether enough doubted times in a row went forward at a pace of their own."""
        step = at - self._doubted
        steady = self._doubt > 0 and 0 <= step <= max(span, STEPS * self._doubted_step)
        self._doubted_step = step if self._doubt > 0 and step > 0 else span
        self._doubt = self._doubt + 1 if steady else 1
        self._doubted = at
        return self._doubt >= AGREEING
