"""The publisher and the measuring of ``bench ingest``, on a real mosquitto."""

from __future__ import annotations

from pathlib import Path

import pytest
from brokers import Mosquitto

from edge_agent.bench.flood import Stream
from edge_agent.bench.ingest import Bench, Plan
from edge_agent.bench.receivers import Load, paho_callback
from edge_agent.config.telemetry import SourceSection, TelemetrySection
from edge_agent.decode.decoder import Decoder
from edge_agent.domain.telemetry import Message


def test_what_is_sent_is_telemetry() -> None:
    section = SourceSection(topic="bench/{equipment}/{signal}", time="timestamp")
    decoder = Decoder(TelemetrySection(sources=(section,)), "edge")
    readings = []
    for packet in Stream(messages=25, signals=10, qos=0, start=1.75e9).packets():
        assert packet[0] == 0x30
        assert packet[1] == len(packet) - 2
        topic_end = 4 + packet[3]
        message = Message(packet[4:topic_end].decode(), packet[topic_end:], 1.75e9)
        readings += decoder.decode(message)
    assert {one.equipment for one in readings} == {"m0"}
    assert {one.signal for one in readings} == {f"s{number}" for number in range(10)}
    assert [one.at for one in readings[::10]] == [1.75e9, 1.75e9 + 1, 1.75e9 + 2]


@pytest.mark.parametrize("qos", [0, 1])
def test_a_receiver_is_measured(broker: Mosquitto, tmp_path: Path, qos: int) -> None:
    receiver = paho_callback(tmp_path, Load(broker.port, qos, 20, set()))
    try:
        plan = Plan(messages=1000, signals=20, qos=qos, node_red=None, step_s=0.0)
        step = Bench(receiver, broker.port, plan, {0}).run(1000, 4000.0)
        assert step.shed == 0
        assert step.cpu_per_100k > 0
        assert step.resident_mb > 5
        assert receiver.progress().messages == 1000
    finally:
        receiver.measured.stop()
