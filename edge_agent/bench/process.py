"""What a process costs, as Linux counts it, and how far it says it has come."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.errors import Unavailable

TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True, slots=True)
class Progress:
    """How many messages a receiver had taken at a time; ``shed``: how many it dropped."""

    at: float
    messages: int
    shed: int = 0


def leave_progress(path: Path, messages: int) -> None:
    """Write a count for ``read_progress``, replaced in one step."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps({"messages": messages}), encoding="utf-8")
    draft.replace(path)


class Measured:
    """A process under measurement, pinned to ``cpus`` where the machine has more than those."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        cpus: set[int] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                list(command),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        if cpus:
            os.sched_setaffinity(self._process.pid, cpus)

    def check(self) -> None:
        """Raises ``Unavailable`` where it has ended."""
        code = self._process.poll()
        if code is not None:
            tail = self._log.read_text(errors="replace")[-2000:]
            raise Unavailable(f"{self.name} ended with {code}:\n{tail}")

    def cpu_s(self) -> float:
        """Processor seconds of all its threads so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def resident_mb(self) -> float:
        """Resident memory, megabytes."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * PAGE_MB

    def proportional_mb(self) -> float:
        """The same with shared pages split among those that share them (PSS), megabytes."""
        for line in Path(f"/proc/{self._process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
        return 0.0

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after a while."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


def wait_for(path: Path, measured: Measured, seconds: float) -> None:
    """Wait until ``path`` exists. Raises ``Unavailable``."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        measured.check()
        if time.monotonic() > deadline:
            raise Unavailable(f"{measured.name} was not ready within {seconds:.0f} s")
        time.sleep(0.05)
