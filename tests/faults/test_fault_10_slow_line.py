from __future__ import annotations

import time

from brokers import Mosquitto, Proxy, wait_until
from peer import Peer
from station import Stations, numbered, numbers, results, subscribed


def test_fault_10_a_line_of_a_byte_a_second_stalls_nothing_else(
    broker: Mosquitto, proxy: Proxy, peer: Peer, stations: Stations
) -> None:
    station = stations(proxy.port)
    subscribed(broker)
    proxy.trickle(1.0)
    slowest = 0.0
    for number in range(60):
        began = time.monotonic()
        station.add(*numbered(number, number + 1))
        station.store.jobs.counts()
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 1.0
    assert station.broker.healthy()
    assert station.publisher.status.in_flight <= 8
    proxy.resume()
    proxy.cut()
    wait_until(lambda: results(peer) == set(numbers(0, 60)), seconds=30)
