"""What surrounds the daemon: systemd's notification socket, and a broker without MQTT 5."""

from __future__ import annotations

import socket
from pathlib import Path

from brokers import Mosquitto, wait_until
from plant import Client, Daemon, write_settings

from edge_agent.demo.broker import start_broker


def test_systemd_hears_ready_watchdog_and_stopping(broker: Mosquitto, tmp_path: Path) -> None:
    address = tmp_path / "notify"
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(30)

        def hears(word: str) -> bool:
            while not any(word in text for text in heard):
                heard.append(systemd.recv(4096).decode())
            return True

        with Daemon(write_settings(tmp_path, broker.port), NOTIFY_SOCKET=str(address)) as daemon:
            assert hears("READY=1")
            assert hears("WATCHDOG=1")
            assert daemon.terminate() == 0
            assert hears("STOPPING=1")
    assert not any("WATCHDOG" in text for text in heard[:1])


def test_a_broker_without_mqtt_5_is_spoken_to_in_3_1_1(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    running = start_broker(folder, "amqtt")
    try:
        with Daemon(write_settings(tmp_path, running.endpoint.port)) as daemon:
            wait_until(lambda: '"protocol": "3.1.1"' in daemon.log, 60, "a connection in 3.1.1")
            assert daemon.terminate() == 0
    finally:
        running.child.stop()


def test_a_reload_reads_the_settings_again(broker: Mosquitto, tmp_path: Path) -> None:
    import signal

    config = write_settings(tmp_path, broker.port)
    with Client(broker.port, "edge/#") as client, Daemon(config) as daemon:
        client.wait_for("edge/gw1/status", lambda one: one.json["state"] == "online")
        write_settings(tmp_path, broker.port, agent={"topic_prefix": "plant7"})
        with Client(broker.port, "plant7/#") as moved:
            assert daemon.process
            daemon.process.send_signal(signal.SIGHUP)
            moved.wait_for("plant7/gw1/status", lambda one: one.json["state"] == "online")
        assert daemon.terminate() == 0
