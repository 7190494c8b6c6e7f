from __future__ import annotations

from brokers import Mosquitto, wait_until
from peer import Peer
from station import IN, Stations, subscribed


def test_fault_03_a_lost_session_is_noticed_and_subscribed_anew(
    broker: Mosquitto, stations: Stations
) -> None:
    station = stations(broker.port)
    subscribed(broker)
    broker.restart(lose_sessions=True)
    wait_until(lambda: station.gaps, what="the gap to be recorded")
    assert station.broker.status().sessions_lost == 1
    subscribed(broker, times=2)
    with Peer(broker.port) as machine:
        machine.say(IN, b"after")
        wait_until(lambda: station.seen == [b"after"])


def test_fault_03_it_is_noticed_over_a_restart_of_the_agent_too(
    broker: Mosquitto, stations: Stations
) -> None:
    first = stations(broker.port)
    subscribed(broker)
    first.close()
    broker.restart(lose_sessions=True)
    second = stations(broker.port, folder=first.store.path.parent)
    wait_until(lambda: second.gaps, what="the gap to be recorded")


def test_fault_03_a_kept_session_is_no_gap(broker: Mosquitto, stations: Stations) -> None:
    station = stations(broker.port)
    subscribed(broker)
    broker.restart()
    wait_until(lambda: station.broker.status().generation > 1 and station.broker.connected)
    assert station.gaps == []
