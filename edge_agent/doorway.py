"""The agent's own socket in its state directory: what people ask of a running agent on the spot.

One JSON line in, one out. SQLite must have one writer only, so `edge-agent jobs retry|drop` asks
the agent that has the database open, instead of opening it a second time. Only the agent's own
user and root may connect.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import structlog

from edge_agent.errors import EdgeAgentError, Unavailable

NAME = "agent.sock"
LIMIT_BYTES = 65_536
READ_S = 0.2
"""Longest wait for a request: whoever connects has it ready."""
PER_TURN = 8
ANSWER_S = 15.0
"""The agent looks about once a second; a full disk may make it wait."""
log = structlog.get_logger()


class Doorway:
    """``turn`` it about once a second from one thread."""

    def __init__(self, folder: Path, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """``answer`` may raise ``EdgeAgentError``, whose text is the reply. Where no socket can be
        made, the agent runs without."""
        self._answer = answer
        self._path = folder / NAME
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._path.unlink(missing_ok=True)
            os.fchmod(self._listener.fileno(), 0o600)
            with _short(folder) as path:
                self._listener.bind(path)
            self._listener.listen(PER_TURN)
        except OSError as error:
            log.warning("no_doorway", path=str(self._path), reason=str(error))
        self._listener.setblocking(False)

    def turn(self) -> None:
        """Answer whoever waits, a few at most."""
        for _ in range(PER_TURN):
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return  # nobody, or no socket
            with caller:
                self._serve(caller)

    def close(self) -> None:
        """Shut it for good."""
        self._listener.close()
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            log.debug("doorway_left", reason=str(error))

    def _serve(self, caller: socket.socket) -> None:
        caller.settimeout(READ_S)
        try:
            request = _receive(caller)
            try:
                reply = self._answer(request)
            except EdgeAgentError as error:
                reply = {"error": str(error)}
            caller.sendall(json.dumps(reply).encode() + b"\n")
        except (OSError, ValueError) as error:
            log.warning("caller_not_served", reason=str(error))


def ask(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Ask the agent that runs on the state directory ``folder``. Raises ``Unavailable`` where it
    does not answer, and with its own words where it refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(ANSWER_S)
        try:
            with _short(folder) as path:
                line.connect(path)
            line.sendall(json.dumps(request).encode() + b"\n")
            reply = _receive(line)
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"{folder / NAME}: the running agent does not answer ({error}); try again, as its "
                "user or as root, or stop the agent first"
            ) from error
    if "error" in reply:
        raise Unavailable(str(reply["error"]))
    return reply


def _receive(line: socket.socket) -> dict[str, Any]:
    """One line with a JSON object; ``ValueError`` for anything else."""
    data = b""
    while not data.endswith(b"\n"):
        chunk = line.recv(LIMIT_BYTES)
        data += chunk
        if not chunk or len(data) > LIMIT_BYTES:
            raise ValueError("no whole line of JSON came")
    return msgspec.json.decode(data, type=dict[str, Any])


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """The socket's path by way of an open folder: the kernel takes 107 bytes."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)
