"""A broker for the demonstration: mosquitto where it is installed, else amqtt."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from edge_agent.config.broker import MqttSection
from edge_agent.demo.children import Child
from edge_agent.errors import Unavailable

START_S = 30.0
"""Seconds that a broker has to open its port."""


@dataclass(frozen=True, slots=True)
class RunningBroker:
    """A broker that accepts connections on the loopback interface."""

    kind: str
    endpoint: MqttSection
    child: Child


def find_mosquitto() -> str | None:
    """Its path; Debian keeps it in /usr/sbin, which is not on every user's PATH."""
    found = shutil.which("mosquitto")
    if found is None and Path("/usr/sbin/mosquitto").is_file():
        found = "/usr/sbin/mosquitto"
    return found


def start_broker(folder: Path, kind: str = "auto") -> RunningBroker:
    """Start one on a free loopback port; its files lie in ``folder``. Raises ``Unavailable``.

    ``kind``: ``auto``, ``mosquitto`` or ``amqtt``.
    """
    mosquitto = find_mosquitto() if kind in ("auto", "mosquitto") else None
    if kind == "mosquitto" and mosquitto is None:
        raise Unavailable("mosquitto is not installed: apt-get install mosquitto, or use amqtt")
    if mosquitto is None and importlib.util.find_spec("amqtt") is None:
        raise Unavailable(
            "no broker: neither mosquitto nor amqtt is installed; run scripts/install, or "
            "apt-get install mosquitto"
        )
    port = _free_port()
    if mosquitto:
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            "log_dest stderr\nmax_queued_messages 10000\n",
            encoding="utf-8",
        )
        command = [mosquitto, "-c", str(config)]
    else:
        command = [sys.executable, "-m", "edge_agent.demo.amqtt_broker", str(port)]
    name = "mosquitto" if mosquitto else "amqtt"
    child = Child(f"the broker ({name})", command, folder / "broker.log")
    try:
        _wait_for(child, port)
    except BaseException:
        child.stop()
        raise
    return RunningBroker(name, MqttSection(host="127.0.0.1", port=port), child)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(child: Child, port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        child.check()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise Unavailable(f"{child.name} did not open port {port} within {START_S:.0f} s")
