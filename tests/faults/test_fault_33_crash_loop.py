from __future__ import annotations

from pathlib import Path

from brokers import Mosquitto
from plant import Client, Daemon, Row, write_settings

from edge_agent.domain.diagnosis import Diagnosis


def rows(count: int) -> list[Row]:
    return [
        {"flow": 10.0 + (n * 7 % 13) / 13, "pressure": 2.0 + (n * 5 % 11) / 11}
        for n in range(count)
    ]


def test_fault_33_after_three_broken_lives_it_comes_up_without_the_model(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with Client(broker.port, "edge/#", "answers/#") as client:
        daemon = Daemon(write_settings(tmp_path, broker.port))
        for life in range(3):
            daemon.start()
            client.wait_for(
                "edge/gw1/status",
                lambda _, n=life: len(_births(client)) == n + 1,  # type: ignore[misc]
            )
            daemon.kill()
        with daemon:
            health = client.wait_for(
                "edge/gw1/health", lambda one: one.json["store"]["lives_broken_off"] == 3
            )
            assert health.json["store"]["lives_broken_off"] == 3
            client.stream("simulated-pump", rows(300))
            client.wait_for("edge/gw1/health", lambda one: one.json["intake"]["readings"] >= 600)
            client.say(
                "edge/gw1/cmd/diagnose",
                {"equipment": "simulated-pump"},
                response_topic="answers/a",
                correlation=b"1",
            )
            heard = client.wait_for("edge/gw1/diagnosis/simulated-pump")
            diagnosis = Diagnosis.model_validate_json(heard.payload)
            assert diagnosis.source == "rules"
            assert daemon.terminate() == 0
        assert "crash_loop" in daemon.log
        with daemon:  # an orderly end closes the matter
            client.wait_for("edge/gw1/status", lambda _: len(_births(client)) == 5)
            assert daemon.log.count('"crash_loop"') == 1


def _births(client: Client) -> list[object]:
    return [one for one in client.on("edge/gw1/status") if one.json["state"] == "online"]
