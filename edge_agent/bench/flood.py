"""``python -m edge_agent.bench.flood …``: telemetry at a steady rate, from a process of its own.

It writes MQTT 3.1.1 packets straight into the socket: a client library would cost more than the
receiver that is measured.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

SIGNALS_PER_MACHINE = 10
WINDOW = 20_000
"""Unacknowledged messages at QoS 1."""
TICK_S = 0.01


@dataclass(frozen=True, slots=True)
class Stream:
    """What is sent: ``messages`` of one signal each, round all ``signals``, one row a second of
    source time from ``start`` on."""

    messages: int
    signals: int
    qos: int
    start: float

    def packets(self) -> Iterator[bytes]:
        """PUBLISH packets, noise around a level per signal."""
        noise = random.Random(7)  # noqa: S311 - a signal, no secret
        topics = [topic_of(number).encode() for number in range(self.signals)]
        levels = [10.0 + number % 37 for number in range(self.signals)]
        deviations = [noise.gauss(0.0, 0.2) for _ in range(10_007)]
        at = b""
        for count in range(self.messages):
            row, number = divmod(count, self.signals)
            if number == 0:
                at = datetime.fromtimestamp(self.start + row, UTC).isoformat().encode()
            value = levels[number] + deviations[(count * 31) % 10_007]
            body = b'{"timestamp":"%s","value":%.4f}' % (at, value)
            yield publish(topics[number], body, self.qos, count % 60_000 + 1)


def topic_of(number: int) -> str:
    """Topic of a signal by its number."""
    machine, signal = divmod(number, SIGNALS_PER_MACHINE)
    return f"bench/m{machine}/s{signal}"


def publish(topic: bytes, payload: bytes, qos: int, packet_id: int) -> bytes:
    """One PUBLISH packet (MQTT 3.1.1, section 3.3)."""
    head = struct.pack("!H", len(topic)) + topic
    if qos:
        head += struct.pack("!H", packet_id)
    length = len(head) + len(payload)
    remaining = bytes([length]) if length < 128 else bytes([length % 128 | 128, length // 128])
    return bytes([0x30 | qos << 1]) + remaining + head + payload


class Sender:
    """A connection that publishes and counts acknowledgements."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        variable = b"\x00\x04MQTT\x04\x02\x00\x00"
        name = b"flood-%d" % (time.monotonic_ns() % 10**9)
        content = variable + struct.pack("!H", len(name)) + name
        self._socket.sendall(bytes([0x10, len(content)]) + content)
        if self._socket.recv(4)[:1] != b"\x20":
            raise ConnectionError("the broker refused the publisher")
        self.acknowledged = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        rest = 0
        while data := self._socket.recv(65_536):
            acks, rest = divmod(rest + len(data), 4)
            self.acknowledged += acks

    def send(self, stream: Stream, rate: float) -> float:
        """Send everything at ``rate`` messages a second; returns the seconds that it took."""
        packets = stream.packets()
        started = time.perf_counter()
        sent = 0
        while sent < stream.messages:
            due = min(stream.messages, int((time.perf_counter() - started + TICK_S) * rate))
            if stream.qos:
                due = min(due, self.acknowledged + WINDOW)
            if due > sent:
                self._socket.sendall(b"".join(next(packets) for _ in range(due - sent)))
                sent = due
            time.sleep(TICK_S / 2)
        return time.perf_counter() - started

    def close(self, stream: Stream) -> None:
        """Wait for the last acknowledgements, then disconnect."""
        deadline = time.monotonic() + 30
        while stream.qos and self.acknowledged < stream.messages and time.monotonic() < deadline:
            time.sleep(TICK_S)
        self._socket.sendall(b"\xe0\x00")
        self._socket.close()


def main() -> None:
    """Read the arguments, send, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("port", "messages", "signals", "qos"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--start", type=float, required=True)
    given = parser.parse_args()
    stream = Stream(given.messages, given.signals, given.qos, given.start)
    sender = Sender(given.port)
    seconds = sender.send(stream, given.rate)
    sender.close(stream)
    print(json.dumps({"messages": stream.messages, "seconds": seconds}))  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
