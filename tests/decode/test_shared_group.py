"""Two agents in one shared-subscription group split a plant without losing a message."""

from __future__ import annotations

from pathlib import Path

from brokers import Mosquitto, wait_until
from plant import Client, Daemon, Heard, write_settings

MESSAGES = 400


def taken(client: Client, agent: str) -> int:
    reports = client.on(f"edge/{agent}/health")
    return int(reports[-1].json["intake"]["messages"]) if reports else 0


def online(heard: Heard) -> bool:
    return bool(heard.json["state"] == "online")


def test_a_group_of_two_takes_every_message_once(broker: Mosquitto, tmp_path: Path) -> None:
    configs = []
    for agent in ("one", "two"):
        folder = tmp_path / agent
        folder.mkdir()
        configs.append(
            write_settings(
                folder,
                broker.port,
                agent={"id": agent},
                telemetry={"share_group": "hall"},
                health={"interval_s": 1},
            )
        )
    with (
        Client(broker.port, "edge/#") as client,
        Daemon(configs[0]) as first,
        Daemon(configs[1]) as second,
    ):
        for agent in ("one", "two"):
            client.wait_for(f"edge/{agent}/status", online)
            client.wait_for(f"edge/{agent}/health")
        for number in range(MESSAGES):
            client.say(f"plant/m{number % 7}/telemetry", {"flow": float(number)})
        wait_until(
            lambda: taken(client, "one") + taken(client, "two") == MESSAGES, 30, "all messages"
        )
        assert min(taken(client, "one"), taken(client, "two")) > 0
        assert first.terminate() == 0
        assert second.terminate() == 0
