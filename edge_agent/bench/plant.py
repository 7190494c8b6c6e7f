"""A made-up sensor root whose power follows a real process' processor time.

Where a machine has no power sensor the control loop can still be measured whole: the plant says
P = idle + k x (processor seconds of the worker per second), writes it where an INA226 would, and
keeps the exact energy for itself.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

STEP_S = 0.25
AVERAGED_STEPS = 4
"""The chip averages over this many steps, as a real one is set to."""


@dataclass(frozen=True, slots=True)
class PlantSample:
    """True power over one step."""

    at: float
    """Monotonic seconds at the end of the step."""
    seconds: float
    watts: float


class Plant:
    """Writes ``sys/class/hwmon/hwmon0`` below ``root`` until it is stopped."""

    def __init__(
        self, root: Path, idle_watts: float, watts_per_core: float, pid: Callable[[], int | None]
    ) -> None:
        self._folder = root / "sys/class/hwmon/hwmon0"
        self._folder.mkdir(parents=True)
        (self._folder / "name").write_text("ina226\n", encoding="ascii")
        self._idle_watts = idle_watts
        self._watts_per_core = watts_per_core
        self._pid = pid
        self._process: psutil.Process | None = None
        self._cpu_s = 0.0
        self._stop = threading.Event()
        self._recent: deque[PlantSample] = deque(maxlen=AVERAGED_STEPS)
        self.samples: list[PlantSample] = []
        self._write(idle_watts)
        self._thread = threading.Thread(target=self._run, name="plant", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; the samples stay."""
        self._stop.set()
        self._thread.join()

    def joules(self, start: float, end: float) -> float:
        """True energy between two monotonic moments."""
        return sum(
            sample.watts * sample.seconds for sample in self.samples if start < sample.at <= end
        )

    def _run(self) -> None:
        before = time.monotonic()
        while not self._stop.wait(STEP_S):
            now = time.monotonic()
            seconds, before = now - before, now
            watts = self._idle_watts + self._watts_per_core * self._worked() / seconds
            sample = PlantSample(now, seconds, watts)
            self.samples.append(sample)
            self._recent.append(sample)
            total = sum(piece.seconds for piece in self._recent)
            self._write(sum(piece.watts * piece.seconds for piece in self._recent) / total)

    def _worked(self) -> float:
        """Processor seconds of the worker since the last step; a new worker starts at 0."""
        pid = self._pid()
        if pid is None:
            self._process, self._cpu_s = None, 0.0
            return 0.0
        try:
            if self._process is None or self._process.pid != pid:
                self._process, self._cpu_s = psutil.Process(pid), 0.0
            times = self._process.cpu_times()
        except psutil.Error:
            return 0.0
        before, self._cpu_s = self._cpu_s, times.user + times.system
        return max(0.0, self._cpu_s - before)

    def _write(self, watts: float) -> None:
        """Whole or not at all: the governor reads at any moment."""
        fresh = self._folder / "power1_input.new"
        fresh.write_text(f"{watts * 1e6:.0f}\n", encoding="ascii")
        fresh.replace(self._folder / "power1_input")
