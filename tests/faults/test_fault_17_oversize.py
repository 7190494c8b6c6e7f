from __future__ import annotations

from brokers import Mosquitto, wait_until
from peer import Peer
from station import IN, Stations, subscribed


def test_fault_17_an_oversize_packet_is_dropped_by_the_broker(
    broker: Mosquitto, peer: Peer, stations: Stations
) -> None:
    station = stations(broker.port, mqtt={"max_packet_kb": 1})
    subscribed(broker)
    peer.say(IN, b"1", b"x" * 5_000, b"2")
    wait_until(lambda: station.seen == [b"1", b"2"])
    assert station.broker.status().generation == 1
