"""Messages between daemon and worker: a length, then JSON. Bounded on both sides."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

MAX_FRAME = 4 << 20
"""Bytes of one message: far above any prompt, far below trouble."""
HEADER = struct.Struct(">I")


class BrokenFrame(Exception):
    """The other side sent something that is no message, or went away in the middle."""


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Write one message. Raises ``BrokenFrame`` if it is too large, ``OSError`` if gone."""
    body = json.dumps(message, separators=(",", ":")).encode()
    if len(body) > MAX_FRAME:
        raise BrokenFrame(f"a message of {len(body)} bytes exceeds {MAX_FRAME}")
    connection.sendall(HEADER.pack(len(body)) + body)


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """Read one message; None at a clean end. Raises ``BrokenFrame`` or ``OSError``."""
    head = _take(connection, HEADER.size)
    if head is None:
        return None
    (length,) = HEADER.unpack(head)
    if length > MAX_FRAME:
        raise BrokenFrame(f"a message of {length} bytes was announced")
    body = _take(connection, length) if length else b""
    if body is None:
        raise BrokenFrame("the connection ended inside a message")
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise BrokenFrame("a message is not JSON") from None
    if not isinstance(message, dict):
        raise BrokenFrame("a message is not a JSON object")
    return message


def _take(connection: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        chunk = connection.recv(min(65_536, size - len(data)))
        if not chunk:
            if data:
                raise BrokenFrame("the connection ended inside a message")
            return None
        data += chunk
    return bytes(data)
