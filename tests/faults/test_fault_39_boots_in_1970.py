from __future__ import annotations

from brokers import Mosquitto, wait_until
from peer import Peer
from station import IN, Stations, numbered, numbers, results, subscribed

TODAY = 1_795_000_000.0


def test_fault_39_work_of_1970_is_done_and_what_waits_survives_the_correction(
    broker: Mosquitto, peer: Peer, stations: Stations
) -> None:
    now = [60.0]
    station = stations(broker.port, clock=lambda: now[0])
    subscribed(broker)
    peer.say(IN, *numbers(0, 5))
    wait_until(lambda: results(peer) == set(numbers(0, 5)))
    broker.freeze()
    station.add(*numbered(100, 105))
    now[0] = TODAY  # the time server was reached
    broker.thaw()
    peer.say(IN, *numbers(5, 10))
    wait_until(lambda: set(numbers(5, 10)) <= results(peer))
    wait_until(lambda: station.waiting() == 0)
    assert station.store.outbox.counts().expired == 0
