"""Any bytes on any topic decode or raise ``BadPayload``, and nothing else."""

from __future__ import annotations

import json
import math
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.config.telemetry import SourceSection, TelemetrySection
from edge_agent.decode.decoder import Decoder
from edge_agent.decode.formats import CONTENT_TYPES
from edge_agent.decode.name import name_fault
from edge_agent.domain.telemetry import Message, Quality, Reading
from edge_agent.errors import BadPayload

SOURCES: list[dict[str, Any]] = [
    {"topic": "t/{equipment}/x", "time": "timestamp"},
    {"topic": "t/{equipment}/{signal}"},
    {"topic": "t/{equipment}/{signal}", "format": "plain", "words": {"on": 1}},
    {"topic": "#", "equipment": "all", "values": "a", "time": "t", "time_format": "unix_ms"},
    {"topic": "#", "equipment": "all", "name": "n", "value": "v", "time": "t"},
    {"topic": "#", "equipment": "all", "value": "v", "numbers_in_strings": True},
    {"topic": "#", "equipment_from": "a", "time": "$user.t"},
    {"topic": "#", "equipment": "all", "format": "csv", "time": "t"},
    {"topic": "#", "equipment": "all", "format": "csv", "columns": ("a", "_", "t"), "time": "t"},
    {"topic": "#", "equipment": "all", "format": "msgpack", "time": "t", "time_format": "unix"},
    {"topic": "#", "equipment": "all", "format": "cbor", "time": "t"},
    {"topic": "#", "equipment_from": "machine", "format": "influx"},
    {"topic": "#", "equipment": "all", "format": "influx", "time_format": "unix"},
    {"topic": "#", "equipment": "all", "format": "senml"},
    {"topic": "#", "equipment_from": "bn", "format": "senml"},
    {"topic": "#", "equipment": "all", "compression": "zlib"},
    {"topic": "#", "equipment": "all", "arrays": "rms", "time": "t"},
    {"topic": "spBv1.0/#", "format": "sparkplug"},
]

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just(10**400)
)
KEYS = st.one_of(st.sampled_from(["a", "t", "n", "v", "timestamp"]), st.text(max_size=10))
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=20,
)
JSON = TREES.map(lambda tree: json.dumps(tree).encode())
CUT = st.tuples(JSON, st.integers(0, 40)).map(lambda pair: pair[0][: pair[1]])
SENML = st.lists(
    st.dictionaries(st.sampled_from(["bn", "bt", "bu", "bv", "n", "u", "v", "vb", "t"]), SCALARS)
)
MSGPACK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=10,
)
LINES = st.lists(st.text(alphabet='abtmachine,= \\"\n0.5i;', max_size=30), max_size=4).map(
    lambda lines: "\n".join(lines).encode()
)
PAYLOADS = st.one_of(
    st.binary(max_size=200),
    JSON,
    CUT,
    st.text(max_size=50).map(lambda text: text.encode()),
    SENML.map(lambda pack: json.dumps(pack).encode()),
    TREES.map(cbor2.dumps),
    SENML.map(cbor2.dumps),
    MSGPACK.map(msgspec.msgpack.encode),
    LINES,
)
TYPES = st.one_of(st.none(), st.text(max_size=20), st.sampled_from(sorted(CONTENT_TYPES)))
TOPICS = st.one_of(
    st.sampled_from(["t/pump/x", "t/pump/a", "t//x", "$SYS/x", "", "edge/gw1/x"]),
    st.sampled_from(["NBIRTH/n", "DBIRTH/n/d", "DDATA/n/d", "NDATA/n", "NDEATH/n"]).map(
        "spBv1.0/g/{}".format
    ),
    st.text(max_size=40),
    st.characters(categories=["Cs"]).map(lambda char: f"t/{char}/x"),
)

CORPUS = [
    b"",
    b"\x00",
    b"\xff" * 50,
    b"[" * 100_000,
    b'{"a":' * 3000,
    b'{"a":1e400}',
    b'{"a":' + b"9" * 10_000 + b"}",
    b'{"t":' + b"9" * 400 + b',"a":1}',
    b'"\\ud800"',
    b'{"\\ud800":1}',
    b"NaN",
    b"nan",
    b"-inf",
    b"1_000",
    b"1" * 5000,
    b"1e" + b"9" * 100,
    b"0x1f",
    "１２".encode(),
    b"\xef\xbb\xbf{}",
    b'{"a":NaN' + b"}" * 3,
    b"[" * 2000 + b"NaN" + b"]" * 2000,
    b'{"timestamp":{"a":[[[]]]},"v":1}',
    bytes.fromhex("9bffffffffffffffff"),
    bytes.fromhex("bb00000000ffffffff"),
    bytes.fromhex("d81c81d81d00"),
    bytes.fromhex("c5821b7fffffffffffffff01"),
    bytes.fromhex("c4821b00000000000fffff01"),
    bytes.fromhex("a16161c4821b00000000000fffff01"),
    bytes.fromhex("a16161f97e00"),
    bytes.fromhex("a1c25820" + "ff" * 32 + "01"),
    b"\x81" * 100_000,
    b"\xdd\xff\xff\xff\xff",
    b"\x82\xa1t\xd7\xff" + b"\xff" * 8 + b"\xa1a\x01",
    b"m " + b"\\" * 5000 + b"=1",
    b"\\," * 3000,
    b'm a="' + b'\\"' * 3000,
    b"a,b\n" + b'"' * 999,
    b"\x1f\x8b\x08",
    b'[{"n":"a","v":1,"t":1e308,"bt":1e308}]',
    b'[{"n":"a","v":1e308,"bv":1e308}]',
]


def attempt(decoder: Decoder, message: Message) -> tuple[list[Reading], str]:
    try:
        return decoder.decode(message), ""
    except BadPayload as error:
        return [], str(error)


def check(
    source: dict[str, Any],
    topic: str,
    payload: bytes,
    retained: bool,
    content_type: str | None = None,
) -> None:
    decoder = Decoder(TelemetrySection(sources=(SourceSection(**source),)), "edge")
    for _ in range(2):
        readings, reason = attempt(decoder, Message(topic, payload, 1.7e9, retained, content_type))
        assert len(reason.encode()) < 600
        for reading in readings:
            assert name_fault(reading.equipment) is None
            assert name_fault(reading.signal) is None
            assert type(reading.value) is float
            assert math.isfinite(reading.at)
            assert math.isfinite(reading.value) or reading.quality is Quality.OUT_OF_RANGE
            assert not (retained and reading.quality is Quality.GOOD)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SOURCES), TOPICS, PAYLOADS, st.booleans(), TYPES)
def test_any_bytes_on_any_topic(
    source: dict[str, Any], topic: str, payload: bytes, retained: bool, content_type: str | None
) -> None:
    check(source, topic, payload, retained, content_type)


@pytest.mark.parametrize("payload", CORPUS, ids=lambda payload: ascii(payload[:16]))
@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_the_corpus(source: dict[str, Any], payload: bytes) -> None:
    check(source, "t/pump/a", payload, retained=False)
    check(source, "t/pump/x", payload, retained=False)
    check(source, "spBv1.0/g/NBIRTH/n", payload, retained=False)


def field(number: int, kind: int, content: bytes) -> bytes:
    """A field of protobuf; numbers below 16 and contents below 128 bytes."""
    length = bytes([len(content)]) if kind == 2 else b""
    return bytes([number << 3 | kind]) + length + content


def birth(*metrics: bytes) -> bytes:
    """A birth certificate with seq 0."""
    return field(3, 0, b"\x00") + b"".join(field(2, 2, metric) for metric in metrics)


NAMED = field(1, 2, b"a")
SPARKPLUG_CORPUS = [
    birth(NAMED + field(13, 1, b"\x00" * 6 + b"\xf8\x7f")),  # a double that is no number
    birth(NAMED + field(13, 1, b"\x00" * 6 + b"\xf0\x7f")),  # infinity
    birth(NAMED + field(12, 5, b"\xff\xff\xff\xff")),
    birth(field(1, 2, b"\xff\xfe") + field(10, 0, b"\x01")),  # a name that is no UTF-8
    birth(field(1, 2, b"") + field(10, 0, b"\x01")),
    birth(NAMED + field(11, 0, b"\xff" * 9 + b"\x01")),  # the largest long
    birth(NAMED + field(10, 0, b"\xff" * 12)),  # a varint without end
    birth(NAMED + field(3, 0, b"\xff" * 9 + b"\x01") + field(10, 0, b"\x01")),  # year 584 million
    birth(NAMED + field(15, 2, b"text instead of a number")),
    birth(NAMED + field(4, 0, b"\x7f") + field(10, 0, b"\x01")),  # a datatype there is not
    birth(NAMED, NAMED, NAMED),
    birth(NAMED + field(7, 0, b"\x01") + field(10, 0, b"\x01")),  # null with a value
    birth(field(2, 0, b"\x01") + field(10, 0, b"\x01")),  # an alias and no name
    birth(*[NAMED + field(10, 0, b"\x01")] * 5_000),
    field(2, 2, b"\x0b" * 100),  # groups that nobody closes
    field(3, 0, b"\xff\xff\x7f"),  # seq 2097151
    field(2, 3, b""),
    b"\x12\xff\xff\xff\xff\x0f",
    b"\x0a" * 10_000,
]


@pytest.mark.parametrize("payload", SPARKPLUG_CORPUS, ids=lambda payload: payload[:12].hex())
@pytest.mark.parametrize("kind", ["NBIRTH/n", "DBIRTH/n/d", "NDATA/n", "DDATA/n/d", "NDEATH/n"])
def test_the_sparkplug_corpus(kind: str, payload: bytes) -> None:
    source = SourceSection(topic="spBv1.0/#", format="sparkplug")
    decoder = Decoder(TelemetrySection(sources=(source,)), "edge")
    good = birth(NAMED + field(10, 0, b"\x01"))
    assert len(decoder.decode(Message("spBv1.0/g/NBIRTH/n", good, 1.7e9))) == 1
    readings, reason = attempt(decoder, Message(f"spBv1.0/g/{kind}", payload, 1.7e9))
    assert len(reason.encode()) < 600
    for reading in readings:
        assert name_fault(reading.signal) is None
        assert math.isfinite(reading.value) or reading.quality is Quality.OUT_OF_RANGE
    assert len(decoder.decode(Message("spBv1.0/g/NBIRTH/n", good, 1.7e9))) == 1
