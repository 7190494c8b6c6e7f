"""What goes over a broker, watched: which topics carry which signals, how often, in which range.

Pure: messages in, ``Seen`` per topic out. ``draft`` makes settings and cards of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edge_agent.config.telemetry import Format
from edge_agent.decode.binary import cbor_tree, msgpack_tree
from edge_agent.decode.compression import GZIP, inflate
from edge_agent.decode.tree import json_tree, leaves
from edge_agent.decode.value import number, parse_measurement
from edge_agent.domain.telemetry import Message
from edge_agent.errors import BadPayload

TOPICS = 5_000
KEYS = 300
INFLATED = 1_000_000
TIME_KEYS = ("timestamp", "time", "ts", "t", "datetime", "date", "sampled_at", "measured_at")
ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
INFLUX = re.compile(rb"[^\s{\[\"][^\n]* [^\s=]+=[^\s]+( -?\d+)?\s*$", re.MULTILINE)
EPOCHS = (("unix", 1e8, 1e11), ("unix_ms", 1e11, 1e14), ("unix_us", 1e14, 1e17))


@dataclass(slots=True)
class SeenSignal:
    """One key of a topic's payloads."""

    count: int = 0
    low: float = 0.0
    high: float = 0.0
    unit: str | None = None

    def add(self, value: float) -> None:
        """Note one value."""
        self.low = min(self.low, value) if self.count else value
        self.high = max(self.high, value) if self.count else value
        self.count += 1


@dataclass(slots=True)
class Seen:
    """One topic. ``signals``: by dotted key, or under the empty name for a bare value."""

    topic: str
    first: float
    last: float = 0.0
    messages: int = 0
    retained: int = 0
    form: Format | None = None
    time: str | None = None
    time_format: str | None = None
    value_key: bool = False
    """The payload is an object around one number that stands at ``value``."""
    signals: dict[str, SeenSignal] = field(default_factory=dict)
    sample: Message | None = None
    fault: str = ""

    @property
    def period_s(self) -> float | None:
        """Mean time between two live messages, seconds; None for fewer than two."""
        live = self.messages - self.retained
        return (self.last - self.first) / (live - 1) if live > 1 else None


class Discovery:
    """Watches messages; ``topics`` in the order of their first message."""

    def __init__(self) -> None:
        self.topics: dict[str, Seen] = {}
        self.described: dict[str, dict[str, Any]] = {}
        """Topic → JSON object of messages that describe others (Home Assistant, thin-edge.io)."""
        self.passed_over = 0
        """Messages on topics past the bound."""

    def observe(self, message: Message) -> None:
        """Take one message in."""
        if is_description(message.topic):
            self._describe(message)
            return
        seen = self.topics.get(message.topic)
        if seen is None:
            if len(self.topics) >= TOPICS:
                self.passed_over += 1
                return
            seen = self.topics[message.topic] = Seen(message.topic, message.arrived)
        if message.retained:
            seen.retained += 1
        elif seen.messages == seen.retained:
            seen.first = message.arrived
        seen.messages += 1
        seen.last = message.arrived
        try:
            self._content(seen, message)
        except BadPayload as error:
            seen.fault = seen.fault or str(error)

    def _describe(self, message: Message) -> None:
        try:
            tree = json_tree(message.payload)
        except BadPayload:
            return
        if isinstance(tree, dict) and len(self.described) < TOPICS:
            self.described[message.topic] = tree

    def _content(self, seen: Seen, message: Message) -> None:
        if message.topic.startswith("spBv1.0/"):
            seen.form = "sparkplug"
            return
        payload = message.payload
        if payload[:2] == GZIP:
            payload = inflate(payload, INFLATED)
        form, tree = guess(payload)
        seen.form = form
        seen.sample = message
        if form in ("influx", "senml"):
            return
        for row in tree if isinstance(tree, list) else [tree]:
            for key, value in _signals(seen, row):
                signal = seen.signals.get(key)
                if signal is None and len(seen.signals) < KEYS:
                    signal = seen.signals[key] = SeenSignal()
                if signal is not None:
                    signal.add(value)


def is_description(topic: str) -> bool:
    """Whether a topic's messages describe other topics, by Home Assistant's or thin-edge.io's
    convention."""
    levels = topic.split("/")
    if levels[0] == "te":
        return len(levels) in (5, 8) and (len(levels) == 5 or levels[7] == "meta")
    return len(levels) in (4, 5) and levels[-1] == "config"


def guess(payload: bytes) -> tuple[Format, Any]:
    """The likely format of a payload, and its tree where it has one. Raises ``BadPayload``."""
    head = payload[:1]
    if head in b"{[" and head:
        tree = json_tree(payload)
        first = (
            tree[0].keys() if isinstance(tree, list) and tree and isinstance(tree[0], dict) else ()
        )
        named = not {"n", "bn"}.isdisjoint(first)
        return (
            "senml" if named and not {"v", "bv", "vs", "vb"}.isdisjoint(first) else "json"
        ), tree
    text = payload[:200].decode("utf-8", "replace")
    value, _ = parse_measurement(text)
    if value is not None:
        return "plain", text
    if INFLUX.match(payload[:2000]):
        return "influx", None
    if payload[:1] >= b"\x80":
        readers: tuple[tuple[Format, Any], ...] = (("msgpack", msgpack_tree), ("cbor", cbor_tree))
        for form, reader in readers:
            try:
                tree = reader(payload)
            except BadPayload:
                continue
            if isinstance(tree, dict | list):
                return form, tree
    raise BadPayload("neither JSON, a number, Influx lines, MessagePack nor CBOR")


def _signals(seen: Seen, row: Any) -> Iterator[tuple[str, float]]:  # noqa: ANN401 - any payload
    """Numbers in one row; the time is noted on the way."""
    if isinstance(row, str):
        value, unit = parse_measurement(row)
        if value is not None:
            yield "", value
            if unit and "" in seen.signals:
                seen.signals[""].unit = unit
        return
    if not isinstance(row, dict):
        value = number(row, {}, in_strings=False)
        if value is not None:
            yield "", value
        return
    for key, content in leaves(row):
        form = time_form(content) if key.lower() in TIME_KEYS else None
        if form is not None:
            seen.time, seen.time_format = key, form
            continue
        value = number(content, {}, in_strings=False)
        if value is not None and value - value == 0.0:
            yield key, value


def time_form(value: object) -> str | None:
    """The ``time_format`` in which a value is a time, or None where it is none."""
    if isinstance(value, str):
        return "iso8601" if ISO.match(value) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        for form, low, high in EPOCHS:
            if low <= value < high:
                return form
    return None


def encode_sample(message: Message) -> str:
    """The start of a payload for a report, escaped."""
    return msgspec.json.encode(message.payload[:60].decode("latin-1")).decode()[1:-1]
