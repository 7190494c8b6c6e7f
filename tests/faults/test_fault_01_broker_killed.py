from __future__ import annotations

from brokers import Mosquitto, wait_until
from peer import Peer
from station import IN, Stations, numbered, numbers, results, subscribed

from edge_agent.mqtt.backoff import Cause, pause_s


def test_fault_01_a_killed_broker_costs_nothing(
    broker: Mosquitto, peer: Peer, stations: Stations
) -> None:
    station = stations(broker.port)
    subscribed(broker)
    peer.say(IN, *numbers(0, 10))
    wait_until(lambda: results(peer) == set(numbers(0, 10)))
    wait_until(lambda: station.waiting() == 0)
    broker.kill()
    wait_until(lambda: not station.broker.connected)
    station.add(*numbered(10, 20))
    assert station.waiting() == 10
    broker.start()
    with Peer(broker.port, "late").listen("edge/gw/#"):
        wait_until(lambda: station.waiting() == 0, what="the outbox to drain")
    assert station.publisher.status.alarms == {}


def test_fault_01_reconnects_are_jittered_and_capped() -> None:
    pauses = [pause_s(n, Cause.LOST, 30.0, jitter) for n in range(1, 40) for jitter in (0.0, 0.99)]
    assert max(pauses) <= 30.0
    assert pauses[0] < 0.2
    assert len({pause_s(9, Cause.LOST, 30.0, jitter / 10) for jitter in range(10)}) == 10
