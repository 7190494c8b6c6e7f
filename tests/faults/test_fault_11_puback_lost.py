from __future__ import annotations

from brokers import Mosquitto, Proxy, wait_until
from peer import Peer
from station import OUT, Stations, numbered, numbers, results, subscribed

PUBACK = 0x40


def test_fault_11_a_lost_puback_makes_a_duplicate_and_loses_nothing(
    broker: Mosquitto, proxy: Proxy, peer: Peer, stations: Stations
) -> None:
    station = stations(proxy.port)
    subscribed(broker)
    swallowed = [0]

    def swallow(chunk: bytes) -> bytes:
        if chunk[0] != PUBACK:
            return chunk
        swallowed[0] += 1
        proxy.server_filter = lambda later: later
        return b""

    proxy.server_filter = swallow
    station.add(*numbered(0, 1))
    wait_until(lambda: results(peer) == {b"0"})
    wait_until(lambda: swallowed[0] == 1)
    assert station.waiting() == 1  # not acknowledged: the row stays
    proxy.cut()
    wait_until(lambda: station.waiting() == 0)
    wait_until(lambda: peer.payloads(OUT) == [b"0", b"0"], what="the duplicate")
    station.add(*numbered(1, 5))
    wait_until(lambda: results(peer) == set(numbers(0, 5)))
