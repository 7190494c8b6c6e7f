"""``edge-agent discover``: what it drafts reads what was published."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import msgspec
from brokers import Mosquitto
from hypothesis import given, settings
from hypothesis import strategies as st
from plant import Client
from typer.testing import CliRunner

from edge_agent.cli import app
from edge_agent.config import parse_settings
from edge_agent.config.load import read_toml
from edge_agent.decode.decoder import Decoder
from edge_agent.decode.discovery import Discovery
from edge_agent.decode.draft import card_toml, draft, settings_toml
from edge_agent.diagnose.library import load_card
from edge_agent.domain.telemetry import Message

T = 1_700_000_000.0


def watched(*said: tuple[str, Any]) -> Discovery:
    discovery = Discovery()
    for second in range(5):
        for topic, payload in said:
            body = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
            discovery.observe(Message(topic, body, T + second))
    return discovery


def test_rows_with_a_time_become_one_source_for_all_machines() -> None:
    row = {"ts": 1_700_000_000_000, "flow": 1.5, "motor": {"temp": 40}}
    found = draft(watched(("site/p1/telemetry", row), ("site/p2/telemetry", row)))
    (source,) = found.sources
    assert source.topic == "site/{equipment}/telemetry"
    assert (source.time, source.time_format) == ("ts", "unix_ms")
    assert set(found.cards) == {"p1", "p2"}
    assert set(found.cards["p1"].signals) == {"flow", "motor.temp"}
    assert found.cards["p1"].period_s == 1.0


def test_plain_values_name_machine_and_signal_by_topic() -> None:
    found = draft(watched(("hall/p1/temp", "23,5 °C".encode()), ("hall/p1/flow", b"7")))
    assert [source.topic for source in found.sources] == ["hall/{equipment}/{signal}"]
    assert found.cards["p1"].signals["temp"].unit == "°C"


def test_home_assistant_tells_units_by_discovery() -> None:
    told = {
        "state_topic": "z2m/boiler",
        "unit_of_measurement": "bar",
        "value_template": "{{ value_json.pressure }}",
    }
    found = draft(
        watched(
            ("homeassistant/sensor/boiler/pressure/config", told),
            ("z2m/boiler", {"pressure": 1.5, "temp": 60}),
        )
    )
    assert found.cards["boiler"].signals["pressure"].unit == "bar"


def test_thin_edge_measurements_and_their_units() -> None:
    found = draft(
        watched(
            ("te/device/pump///m/env", {"time": "2026-11-23T06:00:00Z", "temp": 20.5}),
            ("te/device/pump///m/env/meta", {"units": {"temp": "°C"}}),
        )
    )
    assert [source.topic for source in found.sources] == ["te/_/{equipment}/_/_/m/_"]
    assert found.cards["pump"].signals["temp"].unit == "°C"


def test_what_cannot_be_read_is_named_with_the_reason() -> None:
    found = draft(watched(("a/b/c", b"\xff\x00\x01"), ("a/b/d", b"online"), ("a/b/e", b"{")))
    assert set(found.unread) == {"a/b/c", "a/b/d", "a/b/e"}
    assert all(found.unread.values())
    assert not found.sources


def test_watches_a_broker_and_writes_settings_and_cards(broker: Mosquitto, tmp_path: Path) -> None:
    out = tmp_path / "draft"
    stop = threading.Event()

    def publish() -> None:
        with Client(broker.port) as client:
            while not stop.wait(0.05):
                client.say("plant/p1/telemetry", {"flow": 12.5, "speed": 1450})

    speaker = threading.Thread(target=publish)
    speaker.start()
    try:
        arguments = ["--for", "1s", "--host", "127.0.0.1", "--port", str(broker.port)]
        result = CliRunner().invoke(app, ["discover", *arguments, "--out", str(out), "--json"])
    finally:
        stop.set()
        speaker.join()
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["equipment"]["p1"]["signals"]["flow"]["low"] == 12.5
    drafted = parse_settings(read_toml(out / "telemetry.toml"), where="draft")
    message = Message("plant/p1/telemetry", b'{"flow": 1.5}', T)
    assert Decoder(drafted.telemetry, "edge").decode(message)[0].equipment == "p1"
    assert set(load_card(out / "equipment" / "p1.toml").signals) == {"flow", "speed"}


TOPICS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["te/a/b///m/x", "te/a/b///m/x/meta", "homeassistant/sensor/x/config", "a/b/c"]
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(TOPICS, st.one_of(st.binary(max_size=40), st.just(b'{"a":1}'))), max_size=8)
)
def test_any_traffic_is_drafted_and_the_draft_is_valid(said: list[tuple[str, bytes]]) -> None:
    found = draft(watched(*said))
    assert settings_toml(found)
    for card in found.cards.values():
        assert card_toml(card)
