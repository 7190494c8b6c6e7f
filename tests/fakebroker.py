"""A scripted MQTT 5 broker for what a real one does too rarely: odd reason codes, broken packets.

Speaks only as much of MQTT as a test needs. Every ``PUBLISH`` is recorded in ``published``.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType

CONNECT, PUBLISH, SUBSCRIBE, PINGREQ = 1, 3, 8, 12


def packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    """A control packet with its fixed header."""
    length, rest = b"", len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length += bytes([digit | (0x80 if rest else 0)])
        if not rest:
            return bytes([kind << 4 | flags]) + length + body


def text(value: bytes) -> bytes:
    """A length-prefixed string."""
    return struct.pack("!H", len(value)) + value


class FakeBroker:
    """Set the attributes before the client connects, or between its packets."""

    def __init__(self) -> None:
        self.connack = b"\x00\x00\x00"
        """Flags, reason code, properties."""
        self.on_publish: Callable[[bytes, bytes], int | None] = lambda _topic, _payload: 0
        """(topic, payload) → reason code of the PUBACK; None sends none."""
        self.suback_code = 1
        self.after_suback = b""
        """Raw bytes that follow the SUBACK."""
        self.connects = 0
        self.published: list[tuple[float, bytes, bytes]] = []
        """(monotonic time, topic, payload)."""
        self.acked: list[int] = []
        """Packet ids of the client's PUBACKs."""
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> FakeBroker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()
        for sock in self._sockets:
            sock.close()

    def send(self, data: bytes) -> None:
        """Raw bytes to the client that connected last."""
        self._sockets[-1].sendall(data)

    def payloads(self, start: bytes = b"") -> list[bytes]:
        """Payloads of the publishes to topics that begin with ``start``."""
        return [payload for _, topic, payload in self.published if topic.startswith(start)]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, client.makefile("rb") as stream:
            while head := stream.read(1):
                length = shift = 0
                while True:
                    digit = stream.read(1)[0]
                    length |= (digit & 127) << shift
                    shift += 7
                    if digit < 128:
                        break
                self._answer(client, head[0], stream.read(length))

    def _answer(self, client: socket.socket, head: int, body: bytes) -> None:
        kind = head >> 4
        if kind == CONNECT:
            self.connects += 1
            client.sendall(packet(2, self.connack))
        elif kind == SUBSCRIBE:
            count = body.count(b"/")  # one filter each, in the tests
            codes = bytes([self.suback_code]) * max(1, count)
            client.sendall(packet(9, body[:2] + b"\x00" + codes[:1]) + self.after_suback)
        elif kind == PUBLISH:
            self._take(client, head, body)
        elif kind == 4:
            self.acked.append(int.from_bytes(body[:2], "big"))
        elif kind == PINGREQ:
            client.sendall(packet(13, b""))

    def _take(self, client: socket.socket, head: int, body: bytes) -> None:
        size = int.from_bytes(body[:2], "big")
        topic, rest = body[2 : 2 + size], body[2 + size :]
        mid, rest = rest[:2], rest[2:]
        payload = rest[1 + rest[0] :]
        self.published.append((time.monotonic(), topic, payload))
        code = self.on_publish(topic, payload)
        if code is not None and head & 0x06:
            client.sendall(packet(4, mid + bytes([code]) + b"\x00"))
