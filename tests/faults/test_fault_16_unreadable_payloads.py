from __future__ import annotations

from pathlib import Path

import pytest
from brokers import Mosquitto, wait_until
from plant import Client, Daemon, write_settings

from edge_agent.config.telemetry import TelemetrySection
from edge_agent.decode.decoder import Decoder
from edge_agent.domain.telemetry import Message
from edge_agent.errors import BadPayload

JUNK = {
    "no JSON": b"{",
    "deep nesting": b"[" * 10_000,
    "deep objects": b'{"a":' * 10_000,
    "not UTF-8": b"\xff\xfe{}",
    "empty": b"",
    "a list": b"[1, 2]",
    "huge": b'{"flow": "' + b"x" * 300_000 + b'"}',
}


@pytest.mark.parametrize("payload", JUNK.values(), ids=JUNK.keys())
def test_fault_16_what_cannot_be_read_is_a_bad_payload_and_nothing_else(payload: bytes) -> None:
    decoder = Decoder(TelemetrySection(), "edge")
    with pytest.raises(BadPayload):
        decoder.decode(Message("plant/pump/telemetry", payload, 0.0))


def test_fault_16_numbers_that_are_none_never_become_good_readings() -> None:
    decoder = Decoder(TelemetrySection(), "edge")
    for text in (b'{"flow": NaN}', b'{"flow": Infinity}', b'{"flow": 1e999}'):
        try:
            readings = decoder.decode(Message("plant/pump/telemetry", text, 0.0))
        except BadPayload:
            continue
        assert all(reading.quality != "good" for reading in readings)


def test_fault_16_the_daemon_says_so_and_goes_on(broker: Mosquitto, tmp_path: Path) -> None:
    with (
        Client(broker.port, "edge/#") as client,
        Daemon(write_settings(tmp_path, broker.port)) as daemon,
    ):
        client.wait_for("edge/gw1/status", lambda one: one.json["state"] == "online")
        for payload in JUNK.values():
            client.say("plant/pump/telemetry", payload)
        wait_until(lambda: len(client.on("edge/gw1/deadletter")) >= 6, what="the notes")
        client.say("plant/pump/telemetry", {"timestamp": "2026-01-01T00:00:00Z", "flow": 1.0})
        client.wait_for("edge/gw1/health", lambda one: one.json["intake"]["readings"] == 1)
        assert daemon.terminate() == 0
