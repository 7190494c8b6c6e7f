from __future__ import annotations

import time

from brokers import Mosquitto, wait_until
from fakebroker import FakeBroker, packet
from peer import Peer
from station import Station, Stations, subscribed

TAKEN_OVER = 0x8E


def test_fault_06_a_second_client_with_our_id_is_no_tug_of_war(stations: Stations) -> None:
    with FakeBroker() as broker:
        station = stations(broker.port, mqtt={"reconnect_max_s": 30})
        wait_until(lambda: station.broker.connected)
        broker.send(packet(14, bytes([TAKEN_OVER, 0])))
        wait_until(lambda: "another client uses our client id" in _error(station))
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            assert broker.connects == 1  # it holds back
            time.sleep(0.05)


def test_fault_06_a_broker_that_does_not_say_so_is_seen_through(
    broker: Mosquitto, stations: Stations
) -> None:
    station = stations(broker.port)
    subscribed(broker)
    with Peer(broker.port, "edge-agent-gw"):  # reconnects each time, as we do
        wait_until(lambda: "another client uses our client id" in _error(station), seconds=30)


def _error(station: Station) -> str:
    return str(station.broker.status().last_error)
