from __future__ import annotations

import time

from brokers import Mosquitto, wait_until
from peer import Peer
from station import Stations, numbered, numbers, results, subscribed

KEEPALIVE_S = 5


def test_fault_02_a_frozen_broker_is_dropped_and_the_backlog_waits(
    broker: Mosquitto, peer: Peer, stations: Stations
) -> None:
    station = stations(broker.port, mqtt={"keepalive_s": KEEPALIVE_S})
    subscribed(broker)
    broker.freeze()
    began = time.monotonic()
    station.add(*numbered(0, 100))
    wait_until(lambda: station.publisher.status.in_flight == 8)
    wait_until(lambda: not station.broker.connected, seconds=2 * KEEPALIVE_S + 5)
    assert time.monotonic() - began < 2 * KEEPALIVE_S + 3
    assert station.waiting() == 100
    assert station.broker.healthy()
    broker.thaw()
    wait_until(lambda: results(peer) == set(numbers(0, 100)), seconds=30)
