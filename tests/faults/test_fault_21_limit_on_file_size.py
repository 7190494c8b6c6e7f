from __future__ import annotations

import resource

import pytest
from brokers import Mosquitto, wait_until
from peer import Peer
from station import IN, Stations, numbers, results, subscribed

from edge_agent.errors import Unavailable


def test_fault_21_a_limit_on_file_size_is_a_full_disk(
    broker: Mosquitto, peer: Peer, stations: Stations
) -> None:
    station = stations(broker.port)
    subscribed(broker)
    peer.say(IN, b"0")
    wait_until(lambda: results(peer) == {b"0"})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(Unavailable, match="file size"):
            station.store.counters.add("x")
        peer.say(IN, *numbers(1, 10))
        wait_until(lambda: station.blocked)
        assert results(peer) == {b"0"}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    wait_until(lambda: results(peer) == set(numbers(0, 10)), what="recovery by itself")
