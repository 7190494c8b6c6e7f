"""Reading many messages at once, past paho.

paho asks the kernel three times for every packet (a byte of command, a byte of length, the rest),
asks ``select`` before each, and builds an object and a log line from it: more than all that this
agent does with a message afterwards. Here one read takes what lies ready, the PUBLISH packets in
it are taken out at once, and paho reads what remains, in its place: it never sees a PUBLISH that
could be read here, and gets every packet that could not.
"""

from __future__ import annotations

import functools
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import structlog
from paho.mqtt import MQTTException
from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

AHEAD = 65_536
"""Bytes asked of the kernel at once."""
PUBLISH = 0x30
PUBACK = b"\x40\x02"
"""A PUBACK up to its packet id: short form in MQTT 5 as well, where it means success."""
log = structlog.get_logger()


class Publication(NamedTuple):
    """One PUBLISH packet, read."""

    topic: bytes
    payload: bytes
    qos: int
    retain: bool
    mid: int
    """Packet id; 0 at QoS 0."""
    properties: Properties | None


class Tap:
    """Wraps a connected socket, TLS or not, for paho. Used by the network thread only, but for
    ``ride``.

    ``deliver`` is called with each PUBLISH, in the order in which the packets came, also between
    them and paho's own.
    """

    def __init__(
        self, wrapped: socket.socket, version_5: bool, deliver: Callable[[Publication], None]
    ) -> None:
        self._socket = wrapped
        self._version_5 = version_5
        self._deliver = deliver
        self._ahead = b""
        """Read, and not yet looked at."""
        self._large = bytearray()
        """The beginning of a packet that needs several reads."""
        self._wanted = 0
        """How long that packet is, as far as is known."""
        self._theirs = b""
        """One whole packet that paho is to read."""
        self._riders: list[bytes] = []
        self._halfway = False
        """paho's packet is partly written, or TLS wants the same bytes again."""

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes of what is paho's. Raises ``BlockingIOError`` where there is none
        now; empty once the connection is over."""
        if not self._theirs:
            if not self._ahead and not self._read():
                return b""
            self._sort()
            if not self._theirs:
                raise BlockingIOError
        given, self._theirs = self._theirs[:size], self._theirs[size:]
        return given

    def pending(self) -> int:
        """Bytes that can be read without waiting: paho asks this of TLS sockets."""
        inner = getattr(self._socket, "pending", None)
        held = len(self._theirs) + len(self._ahead)
        return held + (inner() if inner is not None else 0)

    def ride(self, mids: Sequence[int]) -> None:
        """PUBACKs that leave before the next packet that paho writes; any thread."""
        if mids:
            self._riders.append(b"".join([PUBACK + mid.to_bytes(2, "big") for mid in mids]))

    def send(self, data: bytes | bytearray) -> int:
        """Write paho's packet, or what is left of it, after those that ride with it."""
        while self._riders and not self._halfway:
            first = self._riders[0]
            sent = self._socket.send(first)
            if sent < len(first):
                self._riders[0] = first[sent:]
                raise BlockingIOError
            del self._riders[0]
        self._halfway = True
        sent = self._socket.send(data)
        self._halfway = sent < len(data)
        return sent

    def fileno(self) -> int:
        """For ``select``."""
        return self._socket.fileno()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is the socket's own
        return getattr(self._socket, name)

    def close(self) -> None:
        """Close the socket, and let go of whoever was delivered to."""
        self._deliver = _nowhere
        self._socket.close()

    def _read(self) -> bool:
        """Ask the kernel once; False at the end of the connection."""
        data = self._socket.recv(AHEAD)
        if not data:
            return False
        if self._large:
            self._large += data
            if len(self._large) < self._wanted:
                return True
            data, self._large = bytes(self._large), bytearray()
        self._ahead = data
        return True

    def _sort(self) -> None:
        """Deliver what is ours, up to the first packet that is paho's."""
        data = self._ahead
        at, end = 0, len(data)
        while at < end:
            body, stop = _bounds(data, at)
            if stop > end:
                self._large = bytearray(data[at:])
                self._wanted = stop - at
                at = end
                break
            kind = data[at]
            found = self._publication(data, kind, body, stop) if kind & 0xF0 == PUBLISH else None
            if found is None:
                self._theirs = data[at:stop]
                at = stop
                break
            at = stop
            self._deliver(found)
        self._ahead = data[at:]

    def _publication(self, data: bytes, kind: int, body: int, stop: int) -> Publication | None:
        """What a PUBLISH carries (MQTT 5, section 3.3); None for one that is not as it should be,
        or beyond what we subscribe to: paho knows what to do then."""
        qos = kind >> 1 & 3
        start = body + 2
        at = start + int.from_bytes(data[body:start], "big")
        topic = data[start:at]
        mid = 0
        if qos:
            mid = int.from_bytes(data[at : at + 2], "big")
            at += 2
        properties = None
        if self._version_5:
            if at >= stop:
                return None
            if data[at]:
                properties, at = _properties(data, at, stop)
            else:
                at += 1
        if not topic or qos > 1 or (qos and not mid) or at > stop:
            return None
        return Publication(topic, data[at:stop], qos, bool(kind & 1), mid, properties)


def _nowhere(_found: Publication) -> None:
    """Where the messages of a closed connection go."""


def _bounds(data: bytes, at: int) -> tuple[int, int]:
    """Where the packet at ``at`` has its variable header, and where it ends. Beyond the end of
    ``data`` where it is cut short; a length of five bytes, which there is not, ends with the data,
    for paho to refuse."""
    end = len(data)
    length = shift = 0
    for place in range(at + 1, at + 5):
        if place >= end:
            return place, end + 1
        byte = data[place]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return place + 1, place + 1 + length
        shift += 7
    return end, end


def _properties(data: bytes, at: int, stop: int) -> tuple[Properties | None, int]:
    """Read by paho's own reader; beyond ``stop`` where they cannot be read."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    try:
        properties, size = properties.unpack(data[at:stop])  # type: ignore[no-untyped-call]
    except (MQTTException, ValueError, LookupError, TypeError, struct.error):
        return None, stop + 1
    return properties, at + int(size)


@functools.cache
def say_untapped() -> None:
    """Said once in a process: nothing is lost by it but processor time."""
    log.warning(
        "messages_read_one_by_one",
        reason="this version of paho-mqtt makes its sockets in a way that is unknown here",
    )


class TappedClient(Client):
    """paho's client on a ``Tap``; ``tap`` is None before the connection, and for ever where this
    paho makes its sockets in another way: then it reads them itself."""

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - as paho takes them
        deliver: Callable[[Publication], None],
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*arguments, **options)
        self._take_in = deliver
        self._version_5 = options.get("protocol") is MQTTProtocolVersion.MQTTv5
        self.tap: Tap | None = None

    def let_go(self) -> None:
        """Forget whom to deliver to, who holds us as well."""
        self._take_in = _nowhere

    def _create_socket(self, *arguments: Any) -> Any:  # noqa: ANN401 - paho's own types are private
        made = super()._create_socket(*arguments)
        if not isinstance(made, socket.socket):
            return made  # a WebSocket, which frames bytes in its own way
        self.tap = Tap(made, self._version_5, self._take_in)
        return self.tap
