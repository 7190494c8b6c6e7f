from __future__ import annotations

import contextlib

from brokers import Mosquitto, wait_until
from peer import Peer
from station import Stations, numbered, numbers, results

from edge_agent.config.settings import StoreSection
from edge_agent.store.connection import Full


def test_fault_20_the_bound_on_the_file_is_met_and_left_again(
    broker: Mosquitto, peer: Peer, stations: Stations
) -> None:
    station = stations(broker.port, store=StoreSection(max_mb=8, ballast_mb=0))
    snapshots = station.store.snapshots
    grown = 0
    while not station.store.upkeep.rooms_made:
        with contextlib.suppress(Full):
            snapshots.put("filler", str(grown), bytes(100_000))
        grown += 1
        assert grown < 200
    assert station.store.bytes_on_disk() < 14 * 1024 * 1024
    for name in snapshots.all("filler"):
        snapshots.delete("filler", name)
    station.add(*numbered(0, 20))
    wait_until(lambda: results(peer) == set(numbers(0, 20)))
