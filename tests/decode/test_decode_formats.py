"""Payloads other than JSON, compressed payloads, and what MQTT 5 says beside them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import cbor2
import msgspec
import pytest

from edge_agent.config.telemetry import SourceSection, TelemetrySection
from edge_agent.decode.decoder import Decoder
from edge_agent.domain.telemetry import Message, Quality
from edge_agent.errors import BadPayload

ARRIVED = 1_700_000_000.0


def read(
    payload: bytes,
    message: Mapping[str, Any] | None = None,
    **source: Any,  # noqa: ANN401 - any setting
) -> list[tuple[str, str, float, float]]:
    """What one source makes of one payload: (equipment, signal, value, time)."""
    source.setdefault("topic", "plant/{equipment}/x")
    decoder = Decoder(TelemetrySection(sources=(SourceSection(**source),)), "edge")
    arrived = Message("plant/pump/x", payload, ARRIVED, **(message or {}))
    return [(one.equipment, one.signal, one.value, one.at) for one in decoder.decode(arrived)]


FLAT = [("pump", "flow", 1.5, 5.0), ("pump", "on", 1.0, 5.0)]


@pytest.mark.parametrize("form", ["msgpack", "cbor"])
def test_binary_documents_are_read_as_json_is(form: str) -> None:
    encoders: dict[str, Callable[[object], bytes]] = {
        "msgpack": msgspec.msgpack.encode,
        "cbor": cbor2.dumps,
    }
    encode = encoders[form]
    payload = encode({"t": 5, "flow": 1.5, "on": True})
    assert read(payload, format=form, time="t", time_format="unix") == FLAT
    at = encode({"t": datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC), "flow": 1.5, "on": True})
    assert read(at, format=form, time="t") == FLAT


def test_csv_with_a_header_and_a_decimal_comma() -> None:
    payload = b"zeit;flow;state\n14.11.2023 23:13:20;1,5;on\n14.11.2023 23:13:21;1,6;off\n"
    found = read(
        payload,
        format="csv",
        delimiter=";",
        time="zeit",
        time_format="%d.%m.%Y %H:%M:%S",
        time_zone="Europe/Berlin",
        words={"on": 1, "off": 0},
    )
    assert found == [
        ("pump", "flow", 1.5, 1.7e9),
        ("pump", "state", 1.0, 1.7e9),
        ("pump", "flow", 1.6, 1.7e9 + 1),
        ("pump", "state", 0.0, 1.7e9 + 1),
    ]


def test_csv_with_named_columns_and_a_machine_per_line() -> None:
    found = read(
        b"5,p1,1.5,x\n6,p2,1.6,y",
        topic="plant/+/x",
        format="csv",
        columns=("t", "machine", "flow", "_"),
        equipment_from="machine",
        time="t",
        time_format="unix",
    )
    assert found == [("p1", "flow", 1.5, 5.0), ("p2", "flow", 1.6, 6.0)]


def test_influx_lines() -> None:
    payload = (
        b'pump\\ 1,machine=p\\,7,site=n flow=1.5,count=3i,ok=t,note="a b, c=\\"d\\""'
        b" 1700000000000000000\n"
        b"# a comment\n"
        b"level,machine=p8 value=2\n"
    )
    found = read(payload, topic="plant/+/x", format="influx", equipment_from="machine")
    assert found == [
        ("p,7", "flow", 1.5, 1.7e9),
        ("p,7", "count", 3.0, 1.7e9),
        ("p,7", "ok", 1.0, 1.7e9),
        ("p8", "level", 2.0, ARRIVED),
    ]
    assert read(b"m flow=1 1700000000", format="influx", time_format="unix")[0][3] == 1.7e9


@pytest.mark.parametrize(
    "payload",
    [
        b"m",
        b"m flow",
        b"m flow=",
        b"m flow=x",
        b"m flow=1,",
        b"m flow=1 x",
        b"m flow=1 1 1",
        b"m " + b"\\" * 3000,
        b"m " + b"\\" * 3000 + b"=1",
        b'm a="x',
        b"\xff a=1",
        b"m flow=1 " + b"9" * 40,
    ],
)
def test_no_influx_line(payload: bytes) -> None:
    with pytest.raises(BadPayload):
        read(payload, format="influx")


def test_senml_resolves_base_values() -> None:
    pack: list[dict[str, Any]] = [
        {"bn": "urn:dev:p7/", "bt": 1.7e9, "bu": "Cel", "n": "temp", "v": 20},
        {"n": "motor/temp", "t": 5, "v": 21},
        {"n": "open", "u": "/", "vb": True},
        {"n": "name", "vs": "text"},
    ]
    expected = [
        ("urn:dev:p7", "temp", 20.0, 1.7e9),
        ("urn:dev:p7", "motor.temp", 21.0, 1.7e9 + 5),
        ("urn:dev:p7", "open", 1.0, 1.7e9),
    ]
    for payload in (msgspec.json.encode(pack), _senml_cbor(pack)):
        assert read(payload, format="senml", equipment_from="bn", topic="plant/+/x") == expected


def _senml_cbor(pack: list[dict[str, Any]]) -> bytes:
    labels = {"bn": -2, "bt": -3, "bu": -4, "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "t": 6}
    return cbor2.dumps([{labels[key]: value for key, value in one.items()} for one in pack])


def test_senml_times_may_be_relative_to_now() -> None:
    assert read(b'[{"n":"a","v":1,"t":-10}]', format="senml")[0][3] == ARRIVED - 10


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_compressed_payloads(compress: Callable[[bytes], bytes]) -> None:
    payload = compress(b'{"flow": 1.5}')
    kind = "gzip" if compress is gzip.compress else "zlib"
    assert read(payload, compression=kind)[0][2] == 1.5
    told = {"user_properties": (("Content-Encoding", kind),)}
    assert read(payload, told)[0][2] == 1.5
    with pytest.raises(BadPayload, match="cut short"):
        read(payload[:-6], compression=kind)
    with pytest.raises(BadPayload, match="neither gzip nor zlib"):
        read(b"{}", compression=kind)


def test_a_compressed_bomb_is_not_inflated() -> None:
    with pytest.raises(BadPayload, match="inflates to more"):
        read(gzip.compress(b" " * 50_000_000))


def test_the_content_type_goes_before_the_format() -> None:
    payload = cbor2.dumps({"flow": 1.5})
    assert read(payload, {"content_type": "application/cbor"})[0][2] == 1.5
    assert read(b'{"flow": 1.5}', {"content_type": "text/plain; charset=utf-8"})[0][2] == 1.5


def test_a_pack_that_does_not_name_its_machine_is_refused() -> None:
    told = {"content_type": "application/senml+json"}
    with pytest.raises(BadPayload, match="machine's name"):
        read(b'[{"n":"a","v":1}]', told, topic="plant/+/x", equipment_from="machine")


def test_user_properties_may_name_the_machine_and_the_time() -> None:
    told = {"user_properties": (("machine", "p9"), ("ts", "5"))}
    source: dict[str, Any] = {
        "equipment_from": "$user.machine",
        "time": "$user.ts",
        "time_format": "unix",
    }
    assert read(b'{"flow": 1.5}', told, topic="plant/+/x", **source) == [("p9", "flow", 1.5, 5.0)]
    with pytest.raises(BadPayload, match="machine's name"):
        read(b'{"flow": 1.5}', topic="plant/+/x", **source)


def test_units_become_those_of_the_card() -> None:
    section = SourceSection(
        topic="plant/{equipment}/x", units={"pressure": "psi", "temp": "°F", "bad": "furlong"}
    )
    card = {"pressure": "bar", "temp": "°C", "flow": "L/min", "bad": "bar"}
    decoder = Decoder(
        TelemetrySection(sources=(section,)), "edge", lambda _equipment, signal: card.get(signal)
    )
    for _ in range(2):
        readings = decoder.decode(
            Message("plant/pump/x", b'{"pressure":100,"temp":212,"flow":3,"bad":1}', ARRIVED)
        )
        values = {one.signal: one.value for one in readings}
        assert values == pytest.approx({"pressure": 6.894757, "temp": 100.0, "flow": 3.0})
    assert ["bad is left out" in news for news in decoder.census.news()] == [True]


def test_a_unit_written_behind_a_plain_number_is_converted() -> None:
    section = SourceSection(topic="plant/{equipment}/{signal}", format="plain")
    decoder = Decoder(TelemetrySection(sources=(section,)), "edge", lambda *_: "°C")
    message = Message("plant/pump/temp", "73,4 °F".encode(), ARRIVED)
    assert decoder.decode(message)[0].value == pytest.approx(23.0)
    assert decoder.decode(message)[0].quality is Quality.GOOD
