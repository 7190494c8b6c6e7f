"""The worker as a child process: spawned, listened to, killed with everything it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import structlog

from edge_agent.config.inference import InferenceSection
from edge_agent.errors import Unavailable

log = structlog.get_logger()

LINE_BYTES = 500
LINES_PER_MINUTE = 60
SPAWN_S = 30.0


def worker_arguments(
    settings: InferenceSection, *, socket: Path, models_dir: Path, cache_dir: Path, memory_mb: int
) -> list[str]:
    """The worker's command line for these settings; it may hold ``memory_mb`` megabytes."""
    arguments = {
        "--socket": socket,
        "--model": settings.model,
        "--models-dir": models_dir,
        "--cache-dir": cache_dir,
        "--prefix-cache-mb": settings.prefix_cache_mb,
        "--context": settings.context,
        "--kv-type": settings.kv_type,
        "--threads": settings.threads or 2,
        "--memory-mb": memory_mb,
        "--idle-unload-s": settings.idle_unload_s,
    }
    words = [str(word) for pair in arguments.items() for word in pair]
    for licence in settings.accepted_licences:
        words += ["--accept-licence", licence]
    return words


class WorkerProcess:
    """One child. The thread that forks is the thread that reads its output until it ends: the
    parent-death signal is tied to the forking *thread*, not to the process."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = [sys.executable, "-m", "edge_agent.inference.worker", *arguments]
        self._spawned = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._failure: str | None = None
        self.last_lines: deque[str] = deque(maxlen=8)
        self._reader = threading.Thread(target=self._run, name="inference-worker", daemon=True)
        self._reader.start()
        if not self._spawned.wait(SPAWN_S) or self._child is None:
            reason = self._failure or "it did not start in time"
            raise Unavailable(f"the inference worker could not be started: {reason}")

    def _run(self) -> None:
        command = [*self._arguments, "--parent", str(os.getpid())]
        # What systemd hears comes from the daemon: it takes no word from its children.
        environment = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=environment,
            )
        except OSError as error:
            self._failure = str(error)
            self._spawned.set()
            return
        self._child = child
        self._spawned.set()
        if child.stderr is not None:
            with child.stderr:
                self._forward(child.stderr)
        child.wait()

    def _forward(self, stream: IO[bytes]) -> None:
        """What the worker writes goes to the log, bounded in length and rate."""
        minute, count = 0.0, 0
        while line := stream.readline(LINE_BYTES):
            text = line.decode("utf-8", errors="replace").strip()
            self.last_lines.append(text)
            now = time.monotonic()
            if now - minute >= 60:
                minute, count = now, 0
            count += 1
            if count <= LINES_PER_MINUTE:
                log.debug("worker_output", line=text)
            elif count == LINES_PER_MINUTE + 1:
                log.warning("worker_output_muted", lines_per_minute=LINES_PER_MINUTE)

    @property
    def child(self) -> subprocess.Popen[bytes]:
        """The running or ended child."""
        if self._child is None:
            raise Unavailable("the inference worker was never started")
        return self._child

    @property
    def pid(self) -> int:
        """Process id, also the id of its process group."""
        return self.child.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.child.poll() is None

    def ending(self) -> str:
        """How it ended, for a person; with its last words where it wrote any."""
        self._reader.join(1.0)
        code = self.child.poll()
        if code is None:
            return "it still runs"
        if code < 0:
            try:
                how = f"killed by {signal.Signals(-code).name}"
            except ValueError:
                how = f"killed by signal {-code}"
        else:
            how = f"exit code {code}"
        last = self.last_lines[-1] if self.last_lines and code != 0 else ""
        return f"{how} ({last})" if last else how

    def stop(self, grace_s: float) -> None:
        """Ask it to end; after ``grace_s`` kill its whole process group. Always reaps it."""
        if self.alive and grace_s > 0:
            self._signal(signal.SIGTERM, os.kill)
            try:
                self.child.wait(grace_s)
            except subprocess.TimeoutExpired:
                log.warning("worker_ignored_sigterm", pid=self.pid, grace_s=grace_s)
        if self.alive:
            self._signal(signal.SIGKILL, os.killpg)
        self.child.wait()
        self._reader.join(2.0)

    def _signal(self, number: int, send: Callable[[int, int], None]) -> None:
        try:
            send(self.pid, number)
        except ProcessLookupError:
            return  # it ended by itself in the meantime
