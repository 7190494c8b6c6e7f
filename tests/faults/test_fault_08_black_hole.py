from __future__ import annotations

import time

from brokers import Mosquitto, Proxy, wait_until
from peer import Peer
from station import Stations, numbered, numbers, results, subscribed

KEEPALIVE_S = 5


def test_fault_08_a_black_hole_is_noticed_within_twice_the_keep_alive(
    broker: Mosquitto, proxy: Proxy, peer: Peer, stations: Stations
) -> None:
    station = stations(proxy.port, mqtt={"keepalive_s": KEEPALIVE_S})
    subscribed(broker)
    proxy.stall()
    began = time.monotonic()
    wait_until(lambda: not station.broker.connected, seconds=3 * KEEPALIVE_S)
    assert time.monotonic() - began < 2 * KEEPALIVE_S + 2
    station.add(*numbered(0, 20))
    proxy.resume()
    wait_until(lambda: results(peer) == set(numbers(0, 20)), seconds=30)
