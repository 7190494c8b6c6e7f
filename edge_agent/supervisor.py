"""Keeps the loops honest: starts them, notices one that died or stands still, feeds systemd.

A loop is a function ``run(stop)`` that calls its ``beat`` at least every few seconds. The
watchdog is fed only while every loop beats, so a hang anywhere ends in a restart by systemd
instead of a daemon that looks alive.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger(__name__)

STALL_S = 30.0
"""A loop that has not beaten for this long, seconds, stands still."""


@dataclass
class Loop:
    """One thread of the daemon with the time of its last sign of life."""

    name: str
    run: Callable[[threading.Event], object] = threading.Event.wait
    """``run(stop)``: returns soon after ``stop`` is set."""
    last_beat: float = field(default_factory=time.monotonic)
    failure: BaseException | None = None
    thread: threading.Thread | None = None

    def beat(self) -> None:
        """Called by the loop itself each time around."""
        self.last_beat = time.monotonic()

    def start(self, stop: threading.Event, failed: threading.Event) -> None:
        """Run the loop in a thread; whatever it raises is kept and sets ``failed``."""

        def body() -> None:
            try:
                self.run(stop)
            except BaseException as error:
                self.failure = error
                log.exception("loop_failed", loop=self.name)
                failed.set()

        self.beat()
        self.thread = threading.Thread(target=body, name=self.name, daemon=True)
        self.thread.start()

    def join(self, seconds: float) -> bool:
        """Wait for the loop to end; whether it has."""
        if self.thread is None:
            return True
        self.thread.join(seconds)
        return not self.thread.is_alive()

    def complaint(self, now: float) -> str | None:
        """What is wrong with this loop, or None. ``now``: monotonic seconds."""
        if self.failure is not None:
            return f"loop {self.name} failed: {self.failure!r}"
        if now - self.last_beat > STALL_S:
            return f"loop {self.name} has stood still for {now - self.last_beat:.0f} s"
        return None


class Supervisor:
    """The set of loops, and what systemd is told about them."""

    def __init__(self) -> None:
        self.failed = threading.Event()
        self._loops: dict[str, Loop] = {}

    def add(self, name: str) -> Loop:
        """Make a loop called ``name``; the caller sets its ``run``, ``start`` starts it."""
        loop = self._loops[name] = Loop(name)
        return loop

    def start(self) -> dict[str, threading.Event]:
        """Start every loop; returns the event that stops each."""
        halts = {name: threading.Event() for name in self._loops}
        for name, loop in self._loops.items():
            loop.start(halts[name], self.failed)
        return halts

    def loop(self, name: str) -> Loop:
        """The loop registered under ``name``."""
        return self._loops[name]

    def complaint(self) -> str | None:
        """The first thing that is wrong with any loop, or None."""
        now = time.monotonic()
        return next((text for loop in self._loops.values() if (text := loop.complaint(now))), None)

    def ages(self) -> dict[str, float]:
        """Seconds since each loop's last beat."""
        now = time.monotonic()
        return {name: round(now - loop.last_beat, 1) for name, loop in self._loops.items()}
