"""The process that holds the model: ``python -m edge_agent.inference.worker --socket PATH …``.

One connection carries one request: ``{"complete": {…}}`` or ``{"read": {…}}`` in, then
``{"started": true}`` when the work begins and ``{"alive": true}`` each second, at last
``{"completion": {…}}``, ``{"reading": {…}}`` or ``{"error": …, "kind": "answer" |
"environment"}``. A caller that closes its connection cancels its request.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import queue
import select
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from pydantic import ValidationError

from edge_agent.domain.completion import Completion, CompletionRequest, Reading, ReadingRequest
from edge_agent.errors import BadAnswer, EdgeAgentError
from edge_agent.inference import frame
from edge_agent.inference.answer import Ticket
from edge_agent.inference.engine import NoRoom, Outcome
from edge_agent.inference.holder import HolderSettings, ModelHolder
from edge_agent.inference.native import share_one_arena
from edge_agent.sdnotify import notify

log = structlog.get_logger()

MAX_CONNECTIONS = 64
READ_TIMEOUT_S = 10.0
WATCH_S = 0.02
BEAT_S = 1.0
NOTIFY_S = 5.0
PR_SET_PDEATHSIG = 1


@dataclass(slots=True, eq=False)
class Call:
    """One connection with its request."""

    connection: socket.socket
    request: CompletionRequest | ReadingRequest
    gone: threading.Event = field(default_factory=threading.Event)
    ticket: Ticket | None = None
    interrupted: bool = False
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, message: dict[str, Any]) -> None:
        """Send, or note that nobody listens any more."""
        try:
            with self._writing:
                frame.send(self.connection, message)
        except (OSError, frame.BrokenFrame):
            self.gone.set()


class Worker:
    """Accepts connections on one thread, computes on another, watches deadlines on a third."""

    def __init__(self, holder: ModelHolder, listener: socket.socket) -> None:
        self._holder = holder
        self._listener = listener
        self._calls: queue.Queue[Call] = queue.Queue(MAX_CONNECTIONS)
        self._active: dict[int, Call] = {}
        self._held: Call | None = None
        """Found no room beside the active ones; goes first when one of them has ended."""
        self._open = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self.stop = threading.Event()
        self.jobs = 0
        self._told = 0.0

    def run(self) -> None:
        """Serve until ``stop``; the answers in the making are finished first."""
        threading.Thread(target=self._accept, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()
        while not self.stop.is_set() or self._active:
            self._tell_systemd()
            call = self._next()
            if call is not None:
                self._start(call)
            while self._active:
                ended = self._step()
                if self._held is None or ended:
                    break
            if self._active:
                continue
            if call is None:
                self._holder.idle()
        self._holder.drop()

    def _tell_systemd(self) -> None:
        """Between two batches: whoever watches us knows that the computing thread goes on."""
        now = time.monotonic()
        if now - self._told >= NOTIFY_S:
            self._told = now
            notify("WATCHDOG=1", f"STATUS={len(self._active)} at work, {self.jobs} answered")

    def _next(self) -> Call | None:
        engine = self._holder.engine
        if self._held is not None:
            held, self._held = self._held, None
            return held
        try:
            if not self._active:
                return self._calls.get(timeout=0.2)
            if engine is not None and engine.has_room:
                return self._calls.get_nowait()
        except queue.Empty:
            return None
        return None

    def _start(self, call: Call) -> None:
        try:
            engine = self._holder.load()
            call.reply({"started": True})
            if isinstance(call.request, ReadingRequest):
                self._finish(call, engine.read(call.request, call.gone.is_set))
                return
            call.ticket = Ticket(call.request, call.gone.is_set)
            self._active[id(call.ticket)] = call
            engine.admit(call.ticket)
        except NoRoom:
            self._active.pop(id(call.ticket), None)
            self._held = call
        except EdgeAgentError as error:
            self._finish(call, error)

    def _step(self) -> bool:
        """One batch; whether an answer ended."""
        engine = self._holder.engine
        if engine is None:
            return True
        try:
            outcomes: list[Outcome] = engine.step()
        except EdgeAgentError as error:
            log.error("decode_failed", error=str(error))  # noqa: TRY400 -- the message is whole
            for call in list(self._active.values()):
                self._finish(call, error)
            self._holder.drop()
            return True
        for outcome in outcomes:
            self._finish(self._active[id(outcome.ticket)], outcome.result)
        return bool(outcomes)

    def _finish(self, call: Call, result: Completion | Reading | EdgeAgentError) -> None:
        if call.ticket is not None:
            self._active.pop(id(call.ticket), None)
        self.jobs += 1
        state = {"rss_mb": resident_mb(), "jobs": self.jobs}
        if isinstance(result, Completion):
            call.reply({"completion": result.model_dump(mode="json"), **state})
        elif isinstance(result, Reading):
            call.reply({"reading": result.model_dump(mode="json"), **state})
        else:
            kind = "answer" if isinstance(result, BadAnswer) else "environment"
            call.reply({"error": str(result)[:2000], "kind": kind, **state})
        call.gone.set()

    def _watch(self) -> None:
        """Raise the abort flag when an active request is over: decode then returns at once. Once
        for each, so that another request's prompt, which is computed meanwhile, gets on."""
        while not self.stop.wait(WATCH_S):
            engine = self._holder.engine
            for call in list(self._active.values()):
                if engine and not call.interrupted and call.ticket and call.ticket.ended():
                    call.interrupted = True
                    engine.interrupt()

    def _accept(self) -> None:
        while not self.stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # the listener was closed: the worker ends
            if not self._open.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Read one request, queue it, then notice when the caller goes away."""
        with connection:
            try:
                self._serve_request(connection)
            except (OSError, frame.BrokenFrame) as error:
                log.warning("bad_request", error=str(error)[:200])
            finally:
                self._open.release()

    def _serve_request(self, connection: socket.socket) -> None:
        connection.settimeout(READ_TIMEOUT_S)
        message = frame.receive(connection)
        if message is None:
            return
        if "ping" in message:
            frame.send(connection, {"pong": True, "rss_mb": resident_mb(), "jobs": self.jobs})
            return
        try:
            request: CompletionRequest | ReadingRequest
            if "read" in message:
                request = ReadingRequest.model_validate(message["read"])
            else:
                request = CompletionRequest.model_validate(message.get("complete"))
        except ValidationError as error:
            text = f"the request is malformed: {error.error_count()} faults, {error}"
            frame.send(connection, {"error": text[:1000], "kind": "answer"})
            return
        call = Call(connection, request)
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            frame.send(connection, {"error": "too many requests wait", "kind": "environment"})
            return
        beat = time.monotonic()
        while not call.gone.wait(0.02):
            readable, _, _ = select.select([connection], [], [], 0)
            if readable:
                call.gone.set()  # the protocol has no second message: it closed, or misbehaves
            elif time.monotonic() - beat >= BEAT_S:
                beat = time.monotonic()
                call.reply({"alive": True})


def resident_mb() -> float:
    """Resident memory of this process, megabytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGESIZE") / 1e6, 1)


def die_with(parent: int) -> None:
    """Be killed when the thread that spawned us ends; leave if it is gone already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)


def listen(path: Path) -> socket.socket:
    """A Unix socket at ``path`` that only our user may open; a stale one is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(previous)
    listener.listen(MAX_CONNECTIONS)
    return listener


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The worker's command line."""
    parser = argparse.ArgumentParser(prog="edge-agent inference worker")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--models-dir", type=Path, required=True)
    parser.add_argument("--cache-dir", type=Path)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--kv-type", choices=["f16", "q8_0"], default="f16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-mb", type=int, default=0)
    parser.add_argument("--idle-unload-s", type=float, default=900.0)
    parser.add_argument("--prefix-cache-mb", type=int, default=256)
    parser.add_argument("--accept-licence", action="append", default=[])
    parser.add_argument("--nice", type=int, default=5)
    parser.add_argument("--oom-score", type=int, default=800)
    parser.add_argument("--parent", type=int)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Run the worker until SIGTERM."""
    options = arguments(argv)
    share_one_arena()
    if options.parent is not None:
        die_with(options.parent)
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        os.nice(options.nice)
    except OSError as error:  # a unit's sandbox forbids it and has its own Nice=
        log.debug("nice_not_set", error=str(error))
    try:
        Path("/proc/self/oom_score_adj").write_text(str(options.oom_score), encoding="ascii")
    except OSError as error:
        log.warning("oom_score_not_set", error=str(error))
    holder = ModelHolder(
        HolderSettings(
            model=options.model,
            models_dir=options.models_dir,
            cache_dir=options.cache_dir or options.models_dir,
            context=options.context,
            kv_type=options.kv_type,
            threads=options.threads,
            memory_mb=options.memory_mb,
            idle_unload_s=options.idle_unload_s,
            prefix_cache_mb=options.prefix_cache_mb,
            accepted_licences=tuple(options.accept_licence),
        )
    )
    with listen(options.socket) as listener:
        worker = Worker(holder, listener)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop.set())
        notify("READY=1")
        log.info("worker_ready", pid=os.getpid(), model=options.model)
        worker.run()
    options.socket.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
