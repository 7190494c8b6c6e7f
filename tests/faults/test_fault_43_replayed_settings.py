from __future__ import annotations

from pathlib import Path

from brokers import Mosquitto, wait_until
from plant import Client, Daemon, write_settings
from pushes import DESIRED, REPORTED, desired, online, reported

OLD, NEW = {"health": {"interval_s": 7}}, {"health": {"interval_s": 9}}


def test_fault_43_an_old_document_is_refused_after_a_kill_too(
    broker: Mosquitto, tmp_path: Path
) -> None:
    config = write_settings(tmp_path, broker.port, rollout={"probation_s": 1})
    with Client(broker.port, "edge/#") as client, Daemon(config) as daemon:
        client.wait_for("edge/gw1/status", online())
        client.say(DESIRED, desired(4, OLD))
        reported(client, 4, "confirmed")
        client.say(DESIRED, desired(5, NEW))
        reported(client, 5, "confirmed")
        client.say(DESIRED, desired(4, OLD))
        assert "goes back" in reported(client, 4, "rejected")["reason"]
        client.say(DESIRED, desired(5, {"health": {"interval_s": 11}}))
        assert "another document" in reported(client, 5, "rejected")["reason"]
        daemon.kill()
        daemon.start()
        client.heard.clear()
        client.say(DESIRED, desired(4, OLD))
        report = reported(client, 4, "rejected")
        assert report["effective"]["revision"] == 5
        assert report["effective"]["settings"]["health"]["interval_s"] == 9
        assert daemon.terminate() == 0


def test_fault_43_the_same_document_again_is_no_change(broker: Mosquitto, tmp_path: Path) -> None:
    config = write_settings(tmp_path, broker.port, rollout={"probation_s": 1})
    with Client(broker.port, "edge/#") as client, Daemon(config) as daemon:
        client.wait_for("edge/gw1/status", online())
        client.say(DESIRED, desired(1, NEW), retain=True)
        reported(client, 1, "confirmed")
        for _ in range(5):  # as the broker does at each subscription
            client.say(DESIRED, desired(1, NEW), retain=True)
        heard = len(client.on(REPORTED))
        client.say(DESIRED, desired(2, OLD))
        wait_until(lambda: len(client.on(REPORTED)) > heard)
        reported(client, 2, "confirmed")
        assert daemon.log.count('"settings_applied"') == 2
        assert daemon.terminate() == 0
