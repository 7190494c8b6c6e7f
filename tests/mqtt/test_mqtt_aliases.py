"""Topic aliases: what goes over the wire is shorter, what arrives is the same."""

from __future__ import annotations

import threading
from functools import partial

from brokers import Mosquitto, Proxy, wait_until
from fakebroker import FakeBroker, packet
from findings import outgoing
from peer import Peer
from station import OUT, Stations, numbered, numbers

from edge_agent.domain.outgoing import Outgoing
from edge_agent.mqtt.aliases import MOST, TopicAliases


def test_a_topic_crosses_the_line_twice_and_arrives_each_time(
    broker: Mosquitto, proxy: Proxy, peer: Peer, stations: Stations
) -> None:
    sent = bytearray()

    def keep(chunk: bytes) -> bytes:
        sent.extend(chunk)
        return chunk

    proxy.client_filter = keep
    station = stations(proxy.port, window=1)
    station.add(*numbered(0, 50))
    wait_until(lambda: peer.payloads(OUT) == numbers(0, 50))
    assert sent.count(OUT.encode()) == 2
    proxy.cut()
    wait_until(lambda: station.broker.status().generation == 2 and station.broker.connected)
    station.add(*numbered(50, 60))
    wait_until(lambda: peer.payloads(OUT) == numbers(0, 60))
    assert sent.count(OUT.encode()) == 4, "a new connection knows no alias"


def test_threads_that_publish_at_once_mix_no_topics(
    broker: Mosquitto, peer: Peer, stations: Stations
) -> None:
    station = stations(broker.port)
    wait_until(lambda: station.broker.connected)

    def send(name: str) -> None:
        for number in range(40):
            message = Outgoing(f"edge/gw/incident/{name}", name.encode(), f"{name}{number}")
            outcome = station.broker.publish(message).wait(10)  # 14 are less than the broker's 20
            assert outcome is not None
            assert outcome.state == "acked"

    threads = [threading.Thread(target=partial(send, f"p{n}")) for n in range(14)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    wait_until(lambda: len(peer.payloads("edge/gw/incident")) == 14 * 40)
    for topic, payload, _ in peer.seen:
        assert topic in ("edge/gw/status", f"edge/gw/incident/{payload.decode()}")


def test_a_broker_without_aliases_gets_none(stations: Stations) -> None:
    with FakeBroker() as broker:
        station = stations(broker.port)
        station.add(*numbered(0, 5))
        wait_until(lambda: len(broker.payloads(OUT.encode())) == 5)


def test_a_broker_that_stumbles_over_one_gets_none_from_then_on(stations: Stations) -> None:
    with FakeBroker() as broker:
        broker.connack = b"\x00\x00\x03\x22\x00\x05"  # it says that it takes five …
        broker.on_publish = lambda topic, _: 0 if topic else None
        station = stations(broker.port, window=1)
        station.add(*numbered(0, 3))
        wait_until(lambda: broker.payloads() and broker.published[-1][1] == b"")
        broker.send(packet(14, bytes([0x94, 0])))  # … and ends the connection over the first
        wait_until(lambda: station.waiting() == 0)
        assert broker.payloads(OUT.encode()) == numbers(0, 3)


def test_a_refused_message_leaves_no_alias_behind() -> None:
    aliases = TopicAliases()
    aliases.allow(5)
    assert aliases.use("a") == ("a", None)
    assert aliases.use("a") == ("a", 1)
    aliases.established("a")
    assert aliases.use("a") == ("", 1)
    aliases.doubt("a")
    assert aliases.use("a") == ("a", 1)


def test_no_more_aliases_than_offered_nor_than_the_bound() -> None:
    for offered, used in ((0, 0), (3, 3), (65_535, MOST)):
        aliases = TopicAliases()
        aliases.allow(offered)
        topics = [outgoing("k", topic=f"t{n}").topic for n in range(2 * MOST)]
        numbers_used = {aliases.use(topic)[1] for topic in topics + topics} - {None}
        assert numbers_used == set(range(1, used + 1))
