from __future__ import annotations

import threading
from pathlib import Path

from brokers import Mosquitto, wait_until
from plant import Client, Daemon, write_settings
from pushes import DESIRED, desired, online, reported

DEAF = {"telemetry": {"sources": [{"topic": "nobody/{equipment}/sends", "format": "json"}]}}
"""Valid, and it ends the telemetry."""


def readings(client: Client) -> int:
    return int(client.on("edge/gw1/health")[-1].json["intake"]["readings"])


def test_fault_46_settings_that_end_the_telemetry_are_taken_back_with_the_reason(
    broker: Mosquitto, tmp_path: Path
) -> None:
    config = write_settings(
        tmp_path, broker.port, rollout={"probation_s": 5}, health={"interval_s": 1}
    )
    stop = threading.Event()
    with Client(broker.port, "edge/#") as client, Daemon(config) as daemon:
        client.wait_for("edge/gw1/status", online())

        def machine() -> None:
            number = 0
            while not stop.wait(0.1):
                number += 1
                client.stream("pump-1", [{"flow": 10 + number % 3}], start=1.7e9 + number)

        feeding = threading.Thread(target=machine)
        feeding.start()
        try:
            client.wait_for("edge/gw1/health", lambda one: one.json["intake"]["readings"] > 20)
            client.say(DESIRED, desired(1, DEAF))
            report = reported(client, 1, "rolled_back")
            assert "no telemetry for" in report["reason"]
            assert report["effective"]["revision"] is None
            before = readings(client)
            wait_until(lambda: readings(client) > before + 10, 20, "telemetry to be heard again")
        finally:
            stop.set()
            feeding.join(10)
        assert daemon.terminate() == 0
