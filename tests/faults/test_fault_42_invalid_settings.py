from __future__ import annotations

from pathlib import Path
from typing import Any

from brokers import Mosquitto
from plant import Client, Daemon, write_settings
from pushes import DESIRED, desired, online, reported

BAD: list[tuple[dict[str, Any], str]] = [
    ({"health": {"interval_s": "often"}}, "health.interval_s"),
    ({"health": {"intervall_s": 5}}, "allowed here: interval_s"),
    ({"mqtt": {"port": 8883}}, "mqtt.tls.enabled"),
    ({"store": {"state_dir": "/srv/x"}}, "store.state_dir"),
]


def test_fault_42_invalid_settings_are_refused_by_key_and_nothing_changes(
    broker: Mosquitto, tmp_path: Path
) -> None:
    config = write_settings(tmp_path, broker.port, rollout={"probation_s": 1})
    with Client(broker.port, "edge/#") as client, Daemon(config) as daemon:
        client.wait_for("edge/gw1/status", online())
        for number, (patch, told) in enumerate(BAD, start=1):
            client.say(DESIRED, desired(number, patch))
            report = reported(client, number, "rejected")
            assert told in report["reason"]
            assert report["effective"]["revision"] is None
        client.say(DESIRED, b"\xff{{{")
        client.say(DESIRED, b"[" * 10_000)
        good = {"health": {"interval_s": 1}, "store": {"outbox_rows": 5_000, "max_mb": 64}}
        client.say(DESIRED, desired(9, good))
        effective = reported(client, 9, "confirmed")["effective"]
        assert effective["revision"] == 9
        assert effective["settings"]["store"]["outbox_rows"] == 5_000
        assert daemon.terminate() == 0
    assert "loop_failed" not in daemon.log
    assert "restart_asked" not in daemon.log
