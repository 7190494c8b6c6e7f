from __future__ import annotations

from brokers import Mosquitto, wait_until
from peer import Peer
from station import IN, OUT, Stations, numbers, results, subscribed


def test_fault_41_order_goes_by_sequence_when_the_clock_runs_backwards(
    broker: Mosquitto, peer: Peer, stations: Stations
) -> None:
    now = [1_795_000_000.0]

    def backwards() -> float:
        now[0] -= 1.0
        return now[0]

    station = stations(broker.port, clock=backwards)
    subscribed(broker)
    peer.say(IN, *numbers(0, 200))
    wait_until(lambda: results(peer) == set(numbers(0, 200)), seconds=30)
    assert peer.payloads(OUT) == numbers(0, 200)
    assert station.seen == numbers(0, 200)
