from __future__ import annotations

from typing import Any

import pytest
from brokers import Mosquitto, wait_until
from peer import Peer
from station import IN, Stations, numbers, results, subscribed

from edge_agent.mqtt.link import Link


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_fault_32_a_dead_network_thread_is_noticed_and_replaced(
    broker: Mosquitto, peer: Peer, stations: Stations, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = stations(broker.port)
    subscribed(broker)
    turn = Link.turn

    def die(self: Link, timeout: float) -> bool:
        raise SystemExit

    monkeypatch.setattr(Link, "turn", die)
    wait_until(lambda: not station.broker.healthy(), what="the death to show")
    monkeypatch.setattr(Link, "turn", turn)
    assert not station.broker.ensure_running()
    wait_until(lambda: station.broker.connected)
    assert station.broker.ensure_running()
    peer.say(IN, *numbers(0, 5))
    wait_until(lambda: results(peer) == set(numbers(0, 5)))


def test_fault_32_our_own_bug_in_a_connection_costs_that_connection(
    broker: Mosquitto, peer: Peer, stations: Stations, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = stations(broker.port)
    subscribed(broker)
    turn = Link.turn
    bugs = iter([ZeroDivisionError("a bug")])

    def stumble(self: Link, timeout: float) -> Any:  # noqa: ANN401
        for bug in bugs:
            raise bug
        return turn(self, timeout)

    monkeypatch.setattr(Link, "turn", stumble)
    wait_until(lambda: station.broker.status().generation > 1 and station.broker.connected)
    peer.say(IN, *numbers(0, 5))
    wait_until(lambda: results(peer) == set(numbers(0, 5)))
    assert station.broker.status().revived == 0
