"""A flood from one publisher costs the others nothing: the real daemon, two publishers."""

from __future__ import annotations

from pathlib import Path

from brokers import Mosquitto
from plant import Client, Daemon, write_settings

ROUNDS = 20
BURST, ROWS = 1_500, 5


def test_a_flood_from_one_publisher_leaves_the_others_alone(tmp_path: Path) -> None:
    """``quiet`` keeps all its rows in an inbox of 100 messages through which bursts are pressed."""
    broker = Mosquitto(["max_queued_messages 0"])
    config = write_settings(tmp_path, broker.port, telemetry={"inbox_messages": 100})
    with (
        broker,
        Client(broker.port, "edge/#") as quiet,
        Client(broker.port) as loud,
        Daemon(config) as daemon,
    ):
        quiet.wait_for("edge/gw1/status", lambda heard: heard.json["state"] == "online")
        topic, value = "plant/loud/telemetry", b'{"flow": 1.5}'
        for number in range(ROUNDS):
            loud.flood(topic, value, BURST)
            rows = [{"flow": row + 0.5} for row in range(ROWS)]
            quiet.stream("quiet", rows, start=1.7e9 + number * ROWS)

        def through(intake: dict[str, int]) -> bool:
            return intake["messages"] + intake["shed"] == ROUNDS * (BURST + ROWS)

        report = quiet.wait_for("edge/gw1/health", lambda heard: through(heard.json["intake"]))
        intake = report.json["intake"]
        assert intake["shed"] > 0, "no flood: nothing is tested"
        assert set(intake["shed_by"]) == {"loud"}
        assert daemon.terminate() == 0
