"""The local status socket: the health document of this moment, for tools on the same gateway.

The daemon answers each connection with one JSON object and closes it; nothing is read from the
caller. ``ask`` is the other end, for ``edge-agent status`` and ``edge-agent top``.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from edge_agent.config.settings import Settings
from edge_agent.errors import EdgeAgentError, Unavailable

log = structlog.get_logger(__name__)

NAME = "status.sock"
SEND_S = 2.0
"""A caller that does not read holds the others up no longer than this."""
GAP_S = 0.05
"""Pause after each answer: whoever asks in a loop takes no more than this share of a core."""
WAITING = 8
"""Callers that may wait for their turn; further ones are refused by the kernel."""
LARGEST = 16_000_000
"""Bytes that ``ask`` takes at most."""


def runtime_dir(settings: Settings, environment: Mapping[str, str]) -> Path:
    """Where the daemon puts its socket: ``observe.runtime_dir``, else systemd's runtime directory,
    else the state directory."""
    given = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return settings.observe.runtime_dir or (Path(given) if given else settings.store.state_dir)


def find(settings: Settings, environment: Mapping[str, str]) -> Path:
    """Where a tool finds the socket of the daemon with these settings; it may be absent."""
    own = runtime_dir(settings, environment)
    places = [own]
    if settings.observe.runtime_dir is None:
        places += [settings.store.state_dir, Path("/run") / settings.store.state_dir.name]
    with contextlib.suppress(PermissionError):
        return next((place for place in places if (place / NAME).is_socket()), own)
    return own


class StatusSocket:
    """Answers on ``folder/status.sock`` from a thread of its own, one caller at a time.

    ``report``: the health document, live. A folder that cannot hold a socket is logged and the
    agent goes on without: no diagnosis depends on it.
    """

    def __init__(self, folder: Path, report: Callable[[], dict[str, Any]]) -> None:
        self._path = folder / NAME
        self._report = report
        self._halt = threading.Event()
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen."""
        if _answers(self._path):
            log.warning(
                "status_socket_unavailable",
                path=str(self._path),
                reason="another agent answers there; set observe.runtime_dir",
            )
            return
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.unlink(missing_ok=True)
            with _short(self._path) as address:
                listener.bind(address)
            self._path.chmod(0o660)
            listener.listen(WAITING)
        except OSError as error:
            listener.close()
            log.warning("status_socket_unavailable", path=str(self._path), reason=str(error))
            return
        self._listener = listener
        self._thread = threading.Thread(
            target=self._run, args=(listener,), name="status", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening and remove the socket."""
        self._halt.set()
        if self._listener is None or self._thread is None:
            return
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._thread.join(SEND_S + 1)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _run(self, listener: socket.socket) -> None:
        while not self._halt.is_set():
            try:
                caller, _ = listener.accept()
            except OSError as error:
                if not self._halt.is_set():
                    log.warning("status_socket_failed", reason=str(error))
                    self._halt.wait(1.0)
                continue
            with caller:
                self._answer(caller)
            self._halt.wait(GAP_S)

    def _answer(self, caller: socket.socket) -> None:
        caller.settimeout(SEND_S)
        try:
            document = self._report()
        except EdgeAgentError as error:
            document = {"error": str(error)}
        try:
            caller.sendall(msgspec.json.encode(document))
        except OSError as error:
            log.debug("status_not_taken", reason=str(error))


def ask(folder: Path, seconds: float = 5.0) -> dict[str, Any]:
    """The health document of the daemon whose socket lies in ``folder``.

    Raises ``Unavailable`` where none answers within ``seconds``.
    """
    path = folder / NAME
    deadline = time.monotonic() + seconds
    parts: list[bytes] = []
    try:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as line,
            _short(path) as address,
        ):
            line.settimeout(seconds)
            line.connect(address)
            while len(part := line.recv(1 << 16)):
                parts.append(part)
                line.settimeout(max(0.01, deadline - time.monotonic()))
                if sum(map(len, parts)) > LARGEST:
                    raise Unavailable(f"{path}: more than {LARGEST} bytes; this is no edge-agent")
    except PermissionError:
        raise Unavailable(f"{path}: not for this user; run the command with sudo") from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise Unavailable(f"{path}: no daemon answers; systemctl status edge-agent") from None
    except OSError as error:
        raise Unavailable(f"{path}: {error}; the daemon may be overloaded, try again") from None
    return _read(path, b"".join(parts))


def _read(path: Path, answer: bytes) -> dict[str, Any]:
    try:
        document = json.loads(answer)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Unavailable(f"{path}: the answer broke off; the daemon may be stopping, try again")
    if set(document) == {"error"}:
        raise Unavailable(f"{path}: the daemon cannot report: {document['error']}")
    return document


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as line:
        line.settimeout(1.0)
        try:
            with _short(path) as address:
                line.connect(address)
        except OSError:
            return False
        return True


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """``path`` as an address that fits into the 108 bytes which Linux has for it."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
