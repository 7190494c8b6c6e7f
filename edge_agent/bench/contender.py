"""One engine in a process of its own, asked over a pipe: so that memory and threads are its own.

The parent writes one JSON object a line and reads one: ``{"ask": {system, context, question,
schema, max_tokens, seed}}``, ``{"storm": [asked, …]}``, ``{"memory": true}``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

from edge_agent.errors import Unavailable


class Contender:
    """Speaks to one engine's process."""

    def __init__(self, python: str, program: Path, model: Path, threads: int, context: int) -> None:
        self.name = program.stem
        self._process = subprocess.Popen(
            [python, str(program), str(model), str(threads), str(context)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.ready = self._read()

    def call(self, message: dict[str, Any]) -> dict[str, Any]:
        """Ask, and wait for the reply."""
        self._pipe(self._process.stdin).write(json.dumps(message) + "\n")
        self._pipe(self._process.stdin).flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        while True:
            line = self._pipe(self._process.stdout).readline()
            if not line:
                code = self._process.wait()
                raise Unavailable(
                    f"the bench's {self.name} ended with code {code}; is its package installed?"
                )
            if line.startswith("{"):
                reply: dict[str, Any] = json.loads(line)
                return reply

    def _pipe(self, pipe: IO[str] | None) -> IO[str]:
        if pipe is None:
            raise Unavailable(f"the bench's {self.name} has no pipe")
        return pipe

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            self._pipe(pipe).close()


PROGRAMS = Path(__file__).parent / "engines"


def start(name: str, model: Path, *, python: str | None, threads: int, context: int) -> Contender:
    """The contender ``name`` (a file of ``engines/``), loaded and ready."""
    return Contender(python or sys.executable, PROGRAMS / f"{name}.py", model, threads, context)
