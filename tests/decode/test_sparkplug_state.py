"""STATE of a Sparkplug host: the real daemon and a real broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Mosquitto, Proxy, wait_until
from plant import Client, Daemon, write_settings

STATE = "spBv1.0/STATE/gw-host"


class Heard:
    """What a node hears of its host."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def states(self) -> list[tuple[bool, int]]:
        told = (json.loads(one.payload) for one in self.client.on(STATE))
        return [(one["online"], one["timestamp"]) for one in told]

    def wait(self, *online: bool) -> list[tuple[bool, int]]:
        wait_until(lambda: [state for state, _ in self.states()] == list(online), 30, str(online))
        return self.states()


@pytest.fixture
def config(proxy: Proxy, tmp_path: Path) -> Path:
    source = {"topic": "spBv1.0/plant/#", "format": "sparkplug"}
    telemetry = {"sparkplug_host_id": "gw-host", "sources": [source]}
    return write_settings(tmp_path, proxy.port, telemetry=telemetry)


@pytest.fixture
def node(broker: Mosquitto) -> Iterator[Heard]:
    with Client(broker.port, STATE) as client:
        yield Heard(client)


def retained(broker: Mosquitto) -> tuple[bool, int]:
    with Client(broker.port, STATE) as late:
        heard = late.wait_for(STATE)
        assert heard.retained
        return (heard.json["online"], heard.json["timestamp"])


def test_a_host_that_is_killed_is_offline_with_the_time_of_its_birth(
    broker: Mosquitto, config: Path, node: Heard
) -> None:
    with Daemon(config) as daemon:
        node.wait(True)
        daemon.kill()
        (_, born), (_, died) = node.wait(True, False)
        assert born == died
        assert retained(broker) == (False, died)
        daemon.start()
        again = node.wait(True, False, True)[-1]
        assert again[1] > born
        assert retained(broker) == again
        assert daemon.terminate() == 0
        assert node.wait(True, False, True, False)[-1] == (False, again[1])


def test_a_host_that_reconnects_is_online_again_with_a_new_time(
    broker: Mosquitto, proxy: Proxy, config: Path, node: Heard
) -> None:
    with Daemon(config) as daemon:
        node.wait(True)
        proxy.cut()
        first, _, third = node.wait(True, False, True)
        assert third[1] > first[1]
        node.client.say(STATE, {"online": False, "timestamp": first[1]}, retain=True)
        assert node.wait(True, False, True, False, True)[-1] == third
        assert retained(broker) == third
        assert daemon.terminate() == 0
