"""Rows go out in order, at their pace, within a window, to a real broker."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from authority import Authority
from brokers import Mosquitto, free_port, wait_until
from typer.testing import CliRunner

from edge_agent.cli import app
from edge_agent.config.broker import MqttSection, TlsSection
from edge_agent.errors import BadConfig, Unavailable
from edge_agent.streaming import Client, stream, telemetry_payload

RUNNER = CliRunner()


def listen(endpoint: MqttSection, topic: str) -> tuple[Client, list[tuple[str, bytes]]]:
    heard: list[tuple[str, bytes]] = []
    client = Client(endpoint, deliver=lambda where, payload: heard.append((where, payload)))
    client.connect()
    client.subscribe([topic])
    wait_until(lambda: client.subscribed, what="the subscription")
    return client, heard


ROWS = 900
"""Fewer than mosquitto queues for a slow subscriber (1000): it drops what comes beyond."""


def test_the_payload_is_the_default_telemetry_format() -> None:
    document = json.loads(telemetry_payload(1767225600.25, {"flow": 12.5}))
    assert document == {"timestamp": "2026-01-01T00:00:00.250Z", "flow": 12.5}


def test_a_recording_arrives_whole_and_in_order_as_fast_as_the_broker_takes_it(
    broker: Mosquitto, tmp_path: Path
) -> None:
    path = tmp_path / "machine 7.csv"
    path.write_text("t_s,a\n" + "".join(f"{i},{i}\n" for i in range(ROWS)), encoding="utf-8")
    client, heard = listen(MqttSection(host=broker.host, port=broker.port), "plant/+/telemetry")
    try:
        result = RUNNER.invoke(
            app, ["replay", str(path), "--port", str(broker.port), "--speed", "max", "--json"]
        )
        assert result.exit_code == 0, result.output
        wait_until(lambda: len(heard) == ROWS, what="all rows")
    finally:
        client.close()
    assert json.loads(result.stdout)["rows"] == ROWS
    assert {topic for topic, _ in heard} == {"plant/machine_7/telemetry"}
    assert [json.loads(payload)["a"] for _, payload in heard] == list(range(ROWS))


def test_simulated_telemetry_says_so_in_a_user_property_and_not_in_the_payload(
    broker: Mosquitto,
) -> None:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    heard: list[paho.MQTTMessage] = []
    ready = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_message = lambda _c, _d, message: heard.append(message)
    client.on_subscribe = lambda *_: ready.set()
    client.connect(broker.host, broker.port)
    client.subscribe("plant/#", qos=1)
    client.loop_start()
    try:
        assert ready.wait(10)
        result = RUNNER.invoke(
            app,
            ["simulate", "--port", str(broker.port), "--speed=1000", "--for=20", "--fault=leak"],
        )
        assert result.exit_code == 0, result.output
        wait_until(lambda: len(heard) == 20, what="all rows")
    finally:
        client.disconnect()
        client.loop_stop()
    assert heard[0].topic == "plant/simulated-pump/telemetry"
    assert ("simulated", "true") in getattr(heard[0].properties, "UserProperty", [])
    assert "simulated" not in json.loads(heard[0].payload)
    newest = time.strftime("%Y-%m-%dT%H", time.gmtime())
    assert json.loads(heard[-1].payload)["timestamp"][:11] == newest[:11]


def test_a_broker_that_stops_acknowledging_stops_the_sender(broker: Mosquitto) -> None:
    """The window bounds what is in flight: nothing piles up in memory."""
    client = Client(MqttSection(host=broker.host, port=broker.port), window=10, stall_s=1.0)
    with client:
        client.publish("t", b"1")
        client.drain()
        broker.freeze()
        try:
            for _ in range(10):
                client.publish("t", b"x" * 100)
            with pytest.raises(Unavailable, match="10 messages stayed unacknowledged"):
                client.publish("t", b"one too many")
        finally:
            broker.thaw()
        client.drain(20.0)


def test_no_broker_is_said_with_what_to_check() -> None:
    with pytest.raises(Unavailable, match="check --host and --port"):
        Client(MqttSection(host="127.0.0.1", port=free_port())).connect()


def test_stop_ends_a_slow_replay_at_once() -> None:
    stop = threading.Event()
    sent: list[int] = []

    def send(_at: float, row: int) -> None:
        sent.append(row)
        stop.set()

    done = stream(((i * 1000.0, i) for i in range(5)), send, speed=1.0, stop=stop)
    assert sent == [0]
    assert done.rows == 1


def test_time_that_jumps_back_costs_no_wait() -> None:
    sent: list[int] = []
    stream(
        iter([(0.0, 1), (-1e6, 2), (0.001, 3)]),
        lambda _at, row: sent.append(row),
        speed=1.0,
        stop=threading.Event(),
    )
    assert sent == [1, 2, 3]


@pytest.mark.parametrize("speed", ["0", "-3", "fast", "nan", "inf"])
def test_a_speed_that_is_none_is_wrong_usage(tmp_path: Path, speed: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text("t,a\n1,2\n", encoding="utf-8")
    assert RUNNER.invoke(app, ["replay", str(path), f"--speed={speed}"]).exit_code == 2


def test_list_shows_what_a_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("t,flow [L/min],note\n1,2,x\n2,,y\n3,4,z\n", encoding="utf-8")
    result = RUNNER.invoke(app, ["replay", str(path), "--list", "--json"])
    facts = json.loads(result.stdout)
    assert (facts["rows"], facts["holes"], facts["dropped"]) == (3, 1, ["note"])
    assert facts["signals"][0]["unit"] == "L/min"
    assert "flow" in RUNNER.invoke(app, ["replay", str(path), "--list"]).stdout


@pytest.mark.filterwarnings("ignore:.*SSLSocket.*:pytest.PytestUnraisableExceptionWarning")
def test_a_client_uses_the_certificates_of_the_settings(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    certificate, key = ours.issue("broker")
    config = [f"cafile {ours.ca}", f"certfile {certificate}", f"keyfile {key}"]
    with Mosquitto(config) as broker:
        trusting = MqttSection(
            host="localhost", port=broker.port, tls=TlsSection(enabled=True, ca=ours.ca)
        )
        with Client(trusting) as client:
            client.publish("t", b"private")
            client.drain(10.0)
        wary = trusting.model_copy(update={"tls": TlsSection(enabled=True, ca=theirs.ca)})
        with pytest.raises(Unavailable, match="certificate verify failed"):
            Client(wary).connect()
    absent = MqttSection(username="me", password_file=tmp_path / "absent")
    with pytest.raises(BadConfig, match="password_file"):
        Client(absent).connect()
