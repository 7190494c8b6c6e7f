from __future__ import annotations

import os

from brokers import Mosquitto, wait_until
from peer import Peer
from station import IN, Stations, numbers, results, subscribed

from edge_agent.store.database import FILE_NAME


def test_fault_24_a_corrupt_database_is_set_aside_and_work_goes_on(
    broker: Mosquitto, peer: Peer, stations: Stations
) -> None:
    first = stations(broker.port)
    subscribed(broker)
    peer.say(IN, *numbers(0, 300))
    wait_until(lambda: results(peer) == set(numbers(0, 300)), seconds=30)
    folder = first.store.path.parent
    first.store.upkeep.connection.checkpoint()
    first.close()
    peer.say(IN, *numbers(300, 310))  # the broker keeps them for us
    with (folder / FILE_NAME).open("r+b") as file:
        file.seek(4096 * 5)
        file.write(os.urandom(4096 * 20))
    second = stations(broker.port, folder=folder)
    assert len(second.store.alarms) == 1
    assert (folder / f"{FILE_NAME}.corrupt-1").exists()
    wait_until(lambda: results(peer) == set(numbers(0, 310)), what="what the broker had kept")
    second.close()
    third = stations(broker.port, folder=folder)
    assert third.store.alarms == []


def test_fault_24_a_file_that_turns_out_damaged_is_set_aside_at_the_next_start(
    broker: Mosquitto, stations: Stations
) -> None:
    station = stations(broker.port)
    folder = station.store.path.parent
    station.store.upkeep.connection.mark_damaged("integrity_check found row 7 missing")
    station.close()
    again = stations(broker.port, folder=folder)
    assert "row 7 missing" in again.store.alarms[0]
    again.close()
    assert stations(broker.port, folder=folder).store.alarms == []
