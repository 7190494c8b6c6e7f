"""Any bytes on any topic decode or raise ``BadPayload``, and nothing else."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.config.telemetry import SourceSection, TelemetrySection
from edge_agent.decode.decoder import Decoder
from edge_agent.decode.name import name_fault
from edge_agent.errors import BadPayload
from edge_agent.telemetry import Message, Quality, Reading

SOURCES: list[dict[str, Any]] = [
    {"topic": "t/{equipment}/x", "time": "timestamp"},
    {"topic": "t/{equipment}/{signal}"},
    {"topic": "t/{equipment}/{signal}", "format": "plain", "words": {"on": 1}},
    {"topic": "#", "equipment": "all", "values": "a", "time": "t", "time_format": "unix_ms"},
    {"topic": "#", "equipment": "all", "name": "n", "value": "v", "time": "t"},
    {"topic": "#", "equipment": "all", "value": "v", "numbers_in_strings": True},
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
PAYLOADS = st.one_of(
    st.binary(max_size=200), JSON, CUT, st.text(max_size=50).map(lambda text: text.encode())
)
TOPICS = st.one_of(
    st.sampled_from(["t/pump/x", "t/pump/a", "t//x", "$SYS/x", "", "edge/gw1/x"]),
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
]


def attempt(decoder: Decoder, message: Message) -> tuple[list[Reading], str]:
    try:
        return decoder.decode(message), ""
    except BadPayload as error:
        return [], str(error)


def check(source: dict[str, Any], topic: str, payload: bytes, retained: bool) -> None:
    decoder = Decoder(TelemetrySection(sources=(SourceSection(**source),)), "edge")
    for _ in range(2):
        readings, reason = attempt(decoder, Message(topic, payload, 1.7e9, retained))
        assert len(reason.encode()) < 600
        for reading in readings:
            assert name_fault(reading.equipment) is None
            assert name_fault(reading.signal) is None
            assert type(reading.value) is float
            assert math.isfinite(reading.at)
            assert math.isfinite(reading.value) or reading.quality is Quality.OUT_OF_RANGE
            assert not (retained and reading.quality is Quality.GOOD)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SOURCES), TOPICS, PAYLOADS, st.booleans())
def test_any_bytes_on_any_topic(
    source: dict[str, Any], topic: str, payload: bytes, retained: bool
) -> None:
    check(source, topic, payload, retained)


@pytest.mark.parametrize("payload", CORPUS, ids=lambda payload: ascii(payload[:16]))
@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_the_corpus(source: dict[str, Any], payload: bytes) -> None:
    check(source, "t/pump/a", payload, retained=False)
    check(source, "t/pump/x", payload, retained=False)
