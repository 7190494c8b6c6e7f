"""Child processes of the demonstration: started in their own group, always ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edge_agent.errors import Unavailable

STOP_S = 10.0
"""Seconds that a child has to end by itself after SIGTERM."""


class Child:
    """One running process whose output goes to a file."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            try:
                self._process = subprocess.Popen(
                    [*_tied_to_us(), *command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise Unavailable(f"{name}: cannot start {command[0]}: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """Process id; also that of the group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def tail(self, lines: int = 12) -> str:
        """The last lines of its output."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def check(self) -> None:
        """Raise ``Unavailable`` with its last words if it has ended."""
        code = self.exit_code
        if code is not None:
            raise Unavailable(f"{self.name} ended with code {code}; its last lines:\n{self.tail()}")

    def stop(self) -> int:
        """SIGTERM, then SIGKILL to the whole group; returns the exit code."""
        if self.exit_code is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        # Its own children (the inference worker) may outlive it: the group goes as a whole.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait()


def _tied_to_us() -> list[str]:
    """A prefix that makes the kernel end the child if we are killed outright."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
