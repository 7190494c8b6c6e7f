"""A daemon that is killed at a chosen step of a roll-out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from plant import REPOSITORY, Daemon


class DiesAt(Daemon):
    """The daemon that kills itself once, when ``revision`` of the roll-out
    ``kind`` reaches ``state``."""

    def __init__(self, config: Path, kind: str, revision: int, state: str, when: str) -> None:
        super().__init__(config)
        self.marker = config.parent / "killed"
        self.arguments = [kind, str(revision), state, when, str(self.marker)]

    def start(self) -> None:
        script = REPOSITORY / "tests" / "rollout" / "dies_at.py"
        command = [sys.executable, str(script), *self.arguments, "run", "--config"]
        environment = {**self.environment, "PYTHONPATH": str(REPOSITORY)}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, str(self.config)],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=REPOSITORY,
                env=environment,
                start_new_session=True,
            )

    def killed(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None
