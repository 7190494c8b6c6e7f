"""The daemon's side of the model: ask, wait, and never be held up or taken down by it."""

from __future__ import annotations

import select
import signal
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import structlog
from pydantic import ValidationError

from edge_agent.config.inference import InferenceSection
from edge_agent.domain.completion import Completion, CompletionRequest, Reading, ReadingRequest
from edge_agent.errors import BadAnswer, BadConfig, Unavailable
from edge_agent.inference import frame
from edge_agent.inference.breaker import Breaker
from edge_agent.inference.catalog import resolve
from edge_agent.inference.gguf import Header, read_header
from edge_agent.inference.manifest import check_licence
from edge_agent.inference.plan import DoesNotFit, Plan, fit
from edge_agent.inference.process import WorkerProcess, worker_arguments

log = structlog.get_logger()

POLL_S = 0.05
DEADLINE_MARGIN_S = 3.0
"""The worker has its own deadline; only one that misses it by this much is killed."""
CONNECT_S = 30.0
NO_CAP = 1 << 40
SMALLER = 0.9
"""Part of its plan that a worker's successor may use once the kernel killed it for memory."""
LONGEST_SOCKET_PATH = 100
"""Bytes; the kernel takes 107."""

Request = CompletionRequest | ReadingRequest
Reply = TypeVar("Reply", Completion, Reading)
WorkerState = Literal["stopped", "ready", "busy", "unavailable", "backing-off"]


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """How the worker stands."""

    state: WorkerState
    pid: int | None
    model: str
    rss_mb: float
    jobs: int
    """Since the client was made."""
    restarts: int
    reason: str
    """Why no model answers; empty while one does."""


class WorkerClient:
    """Spawns the worker when it is first needed, or finds one at ``settings.socket``.

    Thread-safe. A worker that is silent for ``stall_s`` seconds counts as hung.
    Every failure is ``BadAnswer`` or ``Unavailable``; a missing model is looked for
    again at each request.
    """

    def __init__(
        self,
        settings: InferenceSection,
        *,
        runtime_dir: Path,
        models_dir: Path,
        memory_limit_mb: Callable[[], int],
        stall_s: float = 20.0,
    ) -> None:
        self._stall_s = stall_s
        self._settings = settings
        self._runtime_dir = runtime_dir
        self._models_dir = models_dir
        self._memory_limit_mb = memory_limit_mb
        self._breaker = Breaker()
        self._lock = threading.RLock()
        self._process: WorkerProcess | None = None
        self._closed = False
        self._running = 0
        self._jobs = self._jobs_of_worker = self._restarts = 0
        self._rss_mb = 0.0
        self._reason = ""
        self._checked: tuple[int, int, int] | None = None
        self._planned_mb = 0.0
        self._cap_mb = NO_CAP
        """Plan within this after the kernel killed a worker for its memory, megabytes."""
        self._socket_folder: Path | None = None
        self._peer: int | None = None
        """Process id of the worker that runs as its own unit, while it answers."""

    def complete(self, request: CompletionRequest, cancelled: Callable[[], bool]) -> Completion:
        """One answer. Raises ``BadAnswer`` (the model's fault) or ``Unavailable``."""
        return self._ask("complete", "completion", request, Completion, cancelled)

    def read(self, request: ReadingRequest, cancelled: Callable[[], bool]) -> Reading:
        """Words' probabilities after questions about texts. Raises as ``complete``."""
        return self._ask("read", "reading", request, Reading, cancelled)

    def _ask(
        self,
        verb: str,
        noun: str,
        request: Request,
        kind: type[Reply],
        cancelled: Callable[[], bool],
    ) -> Reply:
        try:
            connection, process = self._connect()
            with self._lock:
                self._running += 1
            try:
                with connection:
                    reply = self._exchange(connection, process, verb, request, cancelled)
                return self._parsed(reply, process, noun, kind)
            finally:
                with self._lock:
                    self._running -= 1
                self._recycle(process)
        except Unavailable as error:
            self._reason = str(error)
            raise

    def status(self) -> WorkerStatus:
        """How the worker stands now; never waits for it."""
        process = self._process
        alive = process is not None and process.alive
        return WorkerStatus(
            state=self._state(alive or self._settings.socket is not None),
            pid=process.pid if process is not None and alive else self._peer,
            model=self._settings.model,
            rss_mb=self._rss_mb if alive or self._settings.socket else 0.0,
            jobs=self._jobs,
            restarts=self._restarts,
            reason=self._reason,
        )

    def give_way(self) -> bool:
        """Stop the worker if it is idle, to free its memory; a later request spawns one with the
        plan that fits then. Whether it was stopped."""
        with self._lock:
            process = self._process
            if process is None or self._running:
                return False
            self._process = None
            self._restarts += 1
        log.info("worker_gave_way", rss_mb=self._rss_mb)
        process.stop(1.0)
        return True

    def close(self, grace_s: float) -> None:
        """End the worker; what it computes gets ``grace_s`` seconds."""
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
        if process is not None:
            process.stop(grace_s)
        if self._socket_folder is not None:
            for path in self._socket_folder.iterdir():
                path.unlink(missing_ok=True)
            self._socket_folder.rmdir()

    def _state(self, alive: bool) -> WorkerState:
        if self._breaker.remaining(time.monotonic()) > 0:
            return "backing-off"
        if self._running:
            return "busy"
        if self._reason:
            return "unavailable"
        return "ready" if alive else "stopped"

    def _connect(self) -> tuple[socket.socket, WorkerProcess | None]:
        """A connection to a live worker, spawned if need be."""
        with self._lock:
            if self._closed:
                raise Unavailable("the agent is shutting down")
            wait = self._breaker.remaining(time.monotonic())
            if wait > 0:
                raise Unavailable(
                    f"the inference worker failed {self._breaker.losses} times in a row; "
                    f"next try in {wait:.0f} s"
                )
            if self._settings.socket is not None:
                connection = _open(self._settings.socket)
                self._peer = _peer(connection)
                return connection, None
            self._check_model()
            if self._process is None or not self._process.alive:
                self._spawn()
            if self._process is None:
                raise Unavailable("the agent is shutting down")
            return self._open_spawned(self._process), self._process

    def _check_model(self) -> None:
        """A cheap look before a process is spawned for a model that can't be loaded anyway."""
        settings = self._settings
        try:
            model = resolve(settings.model, self._models_dir)
            check_licence(model.manifest, settings.accepted_licences)
            status = model.path.stat()
            limit = self._limit_mb()
            seen = (status.st_size, status.st_mtime_ns, limit)
            if seen != self._checked:
                self._planned_mb = self._plan(read_header(model.path)).total_mb
                self._checked = (status.st_size, status.st_mtime_ns, self._limit_mb())
        except BadConfig as error:
            raise Unavailable(str(error)) from None
        except OSError as error:
            raise Unavailable(f"the model {settings.model} can't be read: {error}") from None

    def _plan(self, header: Header) -> Plan:
        settings = self._settings
        try:
            return fit(header, settings.context, settings.kv_type, self._limit_mb())
        except DoesNotFit:
            if self._cap_mb == NO_CAP:
                raise
        # Smaller is not to be had: once more as it was; the breaker sees to the pauses.
        self._cap_mb = NO_CAP
        return fit(header, settings.context, settings.kv_type, self._limit_mb())

    def _limit_mb(self) -> int:
        return min(self._memory_limit_mb(), self._cap_mb)

    def _socket_path(self) -> Path:
        path = self._runtime_dir / "inference.sock"
        if len(str(path).encode()) > LONGEST_SOCKET_PATH:
            if self._socket_folder is None:
                self._socket_folder = Path(tempfile.mkdtemp(prefix="edge-agent-"))
            return self._socket_folder / path.name
        self._runtime_dir.mkdir(parents=True, exist_ok=True)
        return path

    def _spawn(self) -> None:
        if self._process is not None:
            log.warning("worker_found_dead", ending=self._process.ending())
            self._process.stop(0)
            self._restarts += 1
        words = worker_arguments(
            self._settings,
            socket=self._socket_path(),
            models_dir=self._models_dir,
            cache_dir=self._models_dir,
            memory_mb=self._limit_mb(),
        )
        self._socket_path().unlink(missing_ok=True)
        self._process = WorkerProcess(words)
        self._jobs_of_worker = 0
        log.info("worker_spawned", pid=self._process.pid)

    def _open_spawned(self, process: WorkerProcess) -> socket.socket:
        """Connect to a worker that may still be starting."""
        give_up = time.monotonic() + CONNECT_S
        path = self._socket_path()
        while True:
            if not process.alive:
                self._lost(process)
                raise Unavailable(f"the inference worker did not start: {process.ending()}")
            try:
                return _open(path)
            except Unavailable:
                if time.monotonic() > give_up:
                    self._lost(process)
                    raise
            time.sleep(0.01)

    def _exchange(
        self,
        connection: socket.socket,
        process: WorkerProcess | None,
        verb: str,
        request: Request,
        cancelled: Callable[[], bool],
    ) -> dict[str, Any]:
        """Send the request, wait for its end; the clock of its deadline starts with the work."""
        give_up = time.monotonic() + self._settings.load_timeout_s
        heard = time.monotonic()
        connection.settimeout(READ_S)
        try:
            frame.send(connection, {verb: request.model_dump(mode="json")})
            while True:
                if cancelled():
                    raise Unavailable("the request was cancelled")
                now = time.monotonic()
                if now > give_up or now - heard > self._stall_s:
                    self._lost(process)
                    raise Unavailable(_too_late(request, stalled=now <= give_up))
                readable, _, _ = select.select([connection], [], [], POLL_S)
                if not readable:
                    continue
                message = frame.receive(connection) or {"end": True}
                heard = time.monotonic()
                if "end" in message:
                    raise self._broken(process, "it closed the connection")
                if "started" in message:
                    give_up = heard + request.deadline_s + DEADLINE_MARGIN_S
                elif "alive" not in message:
                    return message
        except frame.BrokenFrame as error:
            raise self._broken(process, str(error)) from None
        except OSError as error:
            raise self._broken(process, error.strerror or str(error)) from None

    def _broken(self, process: WorkerProcess | None, reason: str) -> Unavailable:
        if process is None:
            self._lost(None)
            return Unavailable(f"the inference worker at {self._settings.socket} is gone: {reason}")
        give_up = time.monotonic() + 2.0
        while process.alive and time.monotonic() < give_up:
            time.sleep(0.01)
        ending = process.ending() if not process.alive else reason
        self._lost(process)
        return Unavailable(f"the inference worker was lost: {ending}")

    def _lost(self, process: WorkerProcess | None) -> None:
        """Kill what may be left of it and count the loss; each process is lost once."""
        with self._lock:
            if process is not None:
                if self._process is not process:
                    return
                self._process = None
                self._restarts += 1
                if not process.alive and process.child.returncode == -signal.SIGKILL:
                    # Nobody here sent it: the kernel, for memory. The next one gets by with less.
                    self._cap_mb = int(SMALLER * self._planned_mb)
            self._peer = None
            self._breaker.lost(time.monotonic())
        if process is not None:
            process.stop(0)
        log.warning("worker_lost", losses=self._breaker.losses)

    def _parsed(
        self, reply: dict[str, Any], process: WorkerProcess | None, noun: str, kind: type[Reply]
    ) -> Reply:
        rss = reply.get("rss_mb")
        with self._lock:
            self._jobs += 1
            self._jobs_of_worker += 1
            self._rss_mb = float(rss) if isinstance(rss, (int, float)) else 0.0
            self._breaker.worked()
        if "error" in reply:
            text = str(reply["error"])
            if reply.get("kind") == "answer":
                self._reason = ""
                raise BadAnswer(text)
            raise Unavailable(text)
        try:
            parsed = kind.model_validate(reply.get(noun))
        except ValidationError as error:
            raise self._broken(process, f"its reply is malformed ({error.error_count()})") from None
        self._reason = ""
        return parsed

    def _recycle(self, process: WorkerProcess | None) -> None:
        """Replace a worker that has done its jobs or has grown; only between requests."""
        with self._lock:
            if process is None or self._process is not process or self._running:
                return
            grown = self._rss_mb > self._memory_limit_mb()
            if not grown and self._jobs_of_worker < self._settings.recycle_jobs:
                return
            self._process = None
            self._restarts += 1
        log.info("worker_recycled", jobs=self._jobs_of_worker, rss_mb=self._rss_mb, grown=grown)
        process.stop(5.0)


READ_S = 5.0
"""A message that has begun to arrive is complete within this time, or the worker is broken."""


def _too_late(request: Request, *, stalled: bool) -> str:
    if stalled:
        return "the inference worker showed no sign of life and was replaced"
    return f"the inference worker did not answer within {request.deadline_s:g} s and was replaced"


def _open(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise Unavailable(f"no inference worker answers at {path}: {error.strerror}") from None
    return connection


def _peer(connection: socket.socket) -> int:
    """The process at the other end: the governor counts its memory and its processor time."""
    layout = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, layout.size)
    pid: int = layout.unpack(credentials)[0]
    return pid
