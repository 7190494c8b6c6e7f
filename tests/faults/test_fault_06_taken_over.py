from __future__ import annotations

import time

from brokers import Mosquitto, wait_until
from peer import Peer
from station import Stations, subscribed


def test_fault_06_a_second_client_with_our_id_is_no_tug_of_war(
    broker: Mosquitto, stations: Stations
) -> None:
    station = stations(broker.port, mqtt={"reconnect_max_s": 4})
    subscribed(broker)
    generation = station.broker.status().generation
    with Peer(broker.port, "edge-agent-gw"):
        wait_until(lambda: not station.broker.connected, what="the take-over")
        wait_until(lambda: "another client uses our client id" in _error(station))
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            assert station.broker.status().generation == generation  # it holds back
            time.sleep(0.05)


def _error(station: object) -> str:
    return str(station.broker.status().last_error)  # type: ignore[attr-defined]
