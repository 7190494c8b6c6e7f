from __future__ import annotations

import pytest
from brokers import wait_until
from fakebroker import FakeBroker, packet, text
from station import Stations

from edge_agent.config.telemetry import TelemetrySection
from edge_agent.decode.decoder import Decoder
from edge_agent.domain.telemetry import Message
from edge_agent.errors import BadPayload
from edge_agent.inbox import Inbox


def test_fault_15_a_topic_that_is_no_text_becomes_a_dead_letter(
    stations: Stations, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived: list[Message] = []
    put = Inbox.put

    def keep(self: Inbox, message: Message) -> None:
        arrived.append(message)
        put(self, message)

    monkeypatch.setattr(Inbox, "put", keep)
    with FakeBroker() as broker:
        body = text(b"plant/\xff\xfe/telemetry") + b"\x00\x07" + b"\x00" + b"{}"
        broker.after_suback = packet(3, body, flags=2)
        station = stations(broker.port)
        wait_until(lambda: broker.acked == [7], what="the acknowledgement")
        assert station.broker.connected
        assert station.broker.status().generation == 1
    assert arrived[0].topic == "plant/\\xff\\xfe/telemetry"
    decoder = Decoder(TelemetrySection(), "edge")
    with pytest.raises(BadPayload):
        decoder.decode(arrived[0])
