"""Settings pushed over MQTT reach a running daemon whole, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

from brokers import Mosquitto
from plant import Client, Daemon, Heard, write_settings

DESIRED = "edge/gw1/config/desired"
REPORTED = "edge/gw1/config/reported"


def desired(revision: int, patch: dict[str, object]) -> str:
    return json.dumps({"kind": "config", "agent": "gw1", "revision": revision, "patch": patch})


def state(revision: int, *states: str) -> object:
    def holds(one: Heard) -> bool:
        return one.json["revision"] == revision and one.json["state"] in states

    return holds


def test_a_push_is_applied_confirmed_and_survives_a_kill(broker: Mosquitto, tmp_path: Path) -> None:
    config = write_settings(tmp_path, broker.port, rollout={"probation_s": 1})
    with Client(broker.port, "edge/#") as client, Daemon(config) as daemon:
        client.wait_for("edge/gw1/status", lambda one: one.json["state"] == "online")
        client.say(DESIRED, desired(1, {"health": {"interval_s": 1}}), retain=True)
        client.wait_for(REPORTED, state(1, "confirmed"))  # type: ignore[arg-type]
        client.say(DESIRED, desired(2, {"health": {"interval_s": "often"}}), retain=True)
        refused = client.wait_for(REPORTED, state(2, "rejected"))  # type: ignore[arg-type]
        assert "health.interval_s" in refused.payload.decode()
        daemon.kill()
        client.heard.clear()
        daemon.start()
        again = client.wait_for(REPORTED, lambda one: not one.retained)
        assert again.json["effective"]["settings"]["health"]["interval_s"] == 1
        assert daemon.terminate() == 0


def test_a_push_that_needs_a_restart_takes_effect(broker: Mosquitto, tmp_path: Path) -> None:
    config = write_settings(tmp_path, broker.port, rollout={"probation_s": 1})
    with Client(broker.port, "edge/#") as client, Daemon(config) as daemon:
        client.wait_for("edge/gw1/status", lambda one: one.json["state"] == "online")
        client.say(DESIRED, desired(1, {"mqtt": {"keepalive_s": 17}}), retain=True)
        client.wait_for(REPORTED, state(1, "confirmed"))  # type: ignore[arg-type]
        assert "keepalive_s" in client.on(REPORTED)[-1].payload.decode()
        assert daemon.terminate() == 0


def test_a_memory_budget_without_room_for_any_model_is_taken_back(
    broker: Mosquitto, tmp_path: Path
) -> None:
    config = write_settings(tmp_path, broker.port, rollout={"probation_s": 1})
    with Client(broker.port, "edge/#") as client, Daemon(config) as daemon:
        client.wait_for("edge/gw1/status", lambda one: one.json["state"] == "online")
        client.say(DESIRED, desired(1, {"govern": {"memory_mb": 150}}), retain=True)
        undone = client.wait_for(REPORTED, state(1, "rolled_back"))  # type: ignore[arg-type]
        assert "smollm2-135m" in undone.json["reason"]
        assert undone.json["effective"]["settings"]["govern"]["memory_mb"] > 150
        assert daemon.terminate() == 0


def test_a_gateway_with_a_pushed_card_starts_again(broker: Mosquitto, tmp_path: Path) -> None:
    card = {"equipment": "press-1", "signals": {"force": {"unit": "kN"}}}
    config = write_settings(tmp_path, broker.port, rollout={"probation_s": 1})
    with Client(broker.port, "edge/#") as client, Daemon(config) as daemon:
        client.wait_for("edge/gw1/status", lambda one: one.json["state"] == "online")
        pushed = desired(1, {"diagnose": {"pushed_cards": {"press": card}}})
        client.say(DESIRED, pushed, retain=True)
        told = client.wait_for(REPORTED, state(1, "confirmed"))  # type: ignore[arg-type]
        assert any("press-1" in warning for warning in told.json["warnings"])
        daemon.kill()
        client.heard.clear()
        daemon.start()
        again = client.wait_for(REPORTED, lambda one: not one.retained)
        assert again.json["effective"]["revision"] == 1
        assert daemon.terminate() == 0
