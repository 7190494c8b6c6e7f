"""The socket that takes PUBLISH packets out of the stream before paho reads it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from authority import Authority
from brokers import Mosquitto, free_port, wait_until
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from peer import Peer
from structlog.testing import capture_logs

from edge_agent.config.broker import MqttSection
from edge_agent.domain.telemetry import Message
from edge_agent.mqtt import Broker
from edge_agent.mqtt.tap import Publication, Tap, TappedClient, say_untapped
from edge_agent.publish.message import status_message

PINGRESP = b"\xd0\x00"
SUBACK = b"\x90\x04\x00\x01\x00\x01"


class Wire:
    """A socket whose bytes come in the given pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def recv(self, _size: int) -> bytes:
        if not self._pieces:
            raise BlockingIOError
        return self._pieces.pop(0)


def varint(number: int) -> bytes:
    coded = b""
    while True:
        number, low = divmod(number, 128)
        coded += bytes([low | (128 if number else 0)])
        if not number:
            return coded


def publish(found: Publication, properties: bytes = b"") -> bytes:
    body = len(found.topic).to_bytes(2, "big") + found.topic
    body += found.mid.to_bytes(2, "big") if found.qos else b""
    body += properties + found.payload
    return bytes([0x30 | found.qos << 1 | found.retain]) + varint(len(body)) + body


def read_all(pieces: list[bytes], version_5: bool = False) -> tuple[list[Publication], bytes]:
    """What was delivered, and what paho would have read."""
    found: list[Publication] = []
    tap = Tap(Wire(pieces), version_5, found.append)  # type: ignore[arg-type]
    theirs = b""
    idle = 0
    while pieces or tap.pending() or idle < 2:
        try:
            theirs += tap.recv(3)
            idle = 0
        except BlockingIOError:
            idle += not pieces
    return found, theirs


PUBLICATIONS = st.builds(
    lambda topic, payload, mid, retain: Publication(
        topic.encode(), payload, 1 if mid else 0, retain, mid, None
    ),
    st.text(min_size=1, max_size=20),
    st.one_of(st.binary(max_size=50), st.integers(100, 70_000).map(bytes)),
    st.integers(0, 65_535),
    st.booleans(),
)
PACKETS = st.lists(st.one_of(PUBLICATIONS, st.sampled_from([PINGRESP, SUBACK])), max_size=12)


@settings(max_examples=150, deadline=None)
@given(PACKETS, st.lists(st.integers(1, 9_000), min_size=1, max_size=30), st.booleans())
def test_however_the_bytes_are_cut_each_packet_goes_where_it_belongs(
    packets: list[Publication | bytes], cuts: list[int], version_5: bool
) -> None:
    none = b"\x00" if version_5 else b""
    stream = b"".join(
        packet if isinstance(packet, bytes) else publish(packet, none) for packet in packets
    )
    pieces: list[bytes] = []
    while stream:
        size = cuts[len(pieces) % len(cuts)]
        pieces.append(stream[:size])
        stream = stream[size:]
    found, theirs = read_all(pieces, version_5)
    assert found == [packet for packet in packets if isinstance(packet, Publication)]
    assert theirs == b"".join(packet for packet in packets if isinstance(packet, bytes))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.booleans())
def test_any_bytes_are_delivered_handed_to_paho_or_waited_for(
    pieces: list[bytes], version_5: bool
) -> None:
    found, theirs = read_all(list(pieces), version_5)
    assert sum(len(one.payload) for one in found) + len(theirs) <= sum(map(len, pieces))


@pytest.mark.parametrize(
    "packet",
    [
        publish(Publication(b"", b"x", 0, False, 0, None), b"\x00"),
        publish(Publication(b"t", b"x", 2, False, 7, None), b"\x00"),
        publish(Publication(b"t", b"x", 1, False, 0, None), b"\x00"),
        publish(Publication(b"t", b"", 0, False, 0, None)),
        publish(Publication(b"t", b"", 0, False, 0, None), b"\x05\x03\x00"),
        publish(Publication(b"t", b"x", 0, False, 0, None), b"\x02\x77\x00"),
        b"\x30\x01t",
        b"\x30\x03\x00\x09t",
        b"\x30\xff\xff\xff\xff\x01",
    ],
)
def test_what_is_not_as_it_should_be_is_left_to_paho(packet: bytes) -> None:
    assert read_all([packet], version_5=True) == ([], packet)


def test_properties_are_read() -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = "application/cbor"
    properties.UserProperty = ("machine", "pump")
    packed = properties.pack()  # type: ignore[no-untyped-call]
    sent = Publication(b"t", b"payload", 1, False, 3, None)
    (found,), _ = read_all([publish(sent, packed)], version_5=True)
    assert found.payload == b"payload"
    assert vars(found.properties)["ContentType"] == "application/cbor"
    assert vars(found.properties)["UserProperty"] == [("machine", "pump")]


def test_acknowledgements_ride_before_the_next_packet_and_never_inside_one() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        tap = Tap(near, True, lambda _: None)
        large = bytes(range(256)) * 2000
        left, got = large, b""
        left = left[tap.send(left) :]
        assert left, "the kernel took it at once: nothing is tested"
        tap.ride([1, 2])
        while left:
            got += far.recv(65_536)
            try:
                left = left[tap.send(left) :]
            except BlockingIOError:
                continue
        tap.ride([])
        assert tap.send(PINGRESP) == 2
        rest = b"\x40\x02\x00\x01\x40\x02\x00\x02" + PINGRESP
        while len(got) < len(large) + len(rest):
            got += far.recv(65_536)
        assert got == large + rest


class Agent:
    """A ``Broker`` that keeps what it receives and acknowledges at once."""

    def __init__(self, **options: object) -> None:
        self.received: list[Message] = []
        self.broker = Broker(
            MqttSection.model_validate({"keepalive_s": 5, "reconnect_max_s": 1, **options}),
            client_id="edge-agent-gw",
            will=status_message("edge/gw", "offline", session_id="s"),
            birth=lambda: status_message("edge/gw", "online", session_id="s"),
            deliver=self._take,
        )

    def _take(self, message: Message) -> None:
        self.received.append(message)
        if len(self.received) % 10 == 0:
            self.broker.ack(*self.received[-10:])

    def __enter__(self) -> Agent:
        self.broker.subscribe([("t/#", 1)])
        self.broker.start()
        wait_until(lambda: self.broker.connected, what="a connection")
        return self

    def __exit__(self, *_: object) -> None:
        self.broker.stop(0.5)


def hear(agent: Agent, broker: Mosquitto, port: int) -> None:
    """Small messages in a burst, and large ones: all arrive in order, all are acknowledged."""
    wait_until(lambda: "t/# (QoS 1)" in broker.log, what="the subscription")
    peer = Peer(port)
    payloads = [b"%d" % number * (20_000 if number % 47 == 0 else 1) for number in range(990)]
    peer.say("t/a", *payloads)
    wait_until(lambda: len(agent.received) == len(payloads), 30, "all messages")
    assert [message.payload for message in agent.received] == payloads
    wait_until(lambda: agent.broker.status().unacked == 0, what="the acknowledgements")
    assert agent.broker.status().generation == 1
    peer.close()


def test_over_tls_with_an_authority_of_its_own(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ours")
    certificate, key = authority.issue("broker")
    port, plain = free_port(), free_port()
    lines = [
        f"listener {port} 127.0.0.1",
        f"cafile {authority.ca}",
        f"certfile {certificate}",
        f"keyfile {key}",
        f"listener {plain} 127.0.0.1",
    ]
    with Mosquitto(lines, port=port) as broker:
        tls = {"enabled": True, "ca": str(authority.ca)}
        with Agent(host="localhost", port=port, tls=tls) as agent:
            hear(agent, broker, plain)
            assert agent.broker._link is not None
            assert agent.broker._link.tapped


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_in_both_versions_of_the_protocol(broker: Mosquitto, protocol: str) -> None:
    with Agent(host="127.0.0.1", port=broker.port, protocol=protocol) as agent:
        hear(agent, broker, broker.port)


def test_properties_come_through_a_broker(broker: Mosquitto) -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = "application/cbor"
    properties.UserProperty = [("machine", "pump"), ("site", "é")]
    with Agent(host="127.0.0.1", port=broker.port) as agent, Peer(broker.port) as peer:
        wait_until(lambda: "t/# (QoS 1)" in broker.log, what="the subscription")
        peer.client.publish("t/a", b"\x01", 1, properties=properties).wait_for_publish(20)
        wait_until(lambda: agent.received, what="the message")
        (message,) = agent.received
    assert message.content_type == "application/cbor"
    assert message.user_properties == (("machine", "pump"), ("site", "é"))


@pytest.fixture
def another_paho(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A paho that makes its sockets in a way that is unknown here."""
    say_untapped.cache_clear()
    monkeypatch.delattr(TappedClient, "_create_socket")
    yield
    say_untapped.cache_clear()


@pytest.mark.usefixtures("another_paho")
def test_a_paho_that_makes_its_sockets_otherwise_reads_them_itself(broker: Mosquitto) -> None:
    with capture_logs() as logs, Agent(host="127.0.0.1", port=broker.port) as agent:
        hear(agent, broker, broker.port)
        agent.broker.reset("to connect again")
        wait_until(lambda: agent.broker.status().generation == 2 and agent.broker.connected)
    assert [line["event"] for line in logs].count("messages_read_one_by_one") == 1
