from __future__ import annotations

from brokers import Mosquitto, Proxy, wait_until
from findings import outgoing
from peer import Peer
from station import Stations, results, subscribed


def test_fault_09_a_connection_reset_inside_a_publish_is_sent_again(
    broker: Mosquitto, proxy: Proxy, peer: Peer, stations: Stations
) -> None:
    station = stations(proxy.port)
    subscribed(broker)
    passed = [0]

    def half(chunk: bytes) -> bytes:
        if b"xxxx" not in chunk:
            return chunk
        passed[0] += 1
        proxy.client_filter = lambda later: later
        proxy.cut()
        return chunk[: len(chunk) // 2]

    proxy.client_filter = half
    payload = b"x" * 20_000
    station.add(outgoing("big", payload=payload))
    wait_until(lambda: station.waiting() == 0, what="the message to be acknowledged")
    wait_until(lambda: results(peer) == {payload})
    assert passed[0] == 1
    assert station.publisher.status.lost >= 1
