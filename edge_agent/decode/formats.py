"""Which reader a payload goes to: by the source's format, or by what MQTT 5 says of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from edge_agent.config.telemetry import Format
from edge_agent.decode.binary import cbor_tree, msgpack_tree
from edge_agent.decode.compression import GZIP, inflate
from edge_agent.decode.lines import csv_rows, influx_samples
from edge_agent.decode.name import shown
from edge_agent.decode.rows import samples
from edge_agent.decode.sample import Sample
from edge_agent.decode.senml import senml_samples
from edge_agent.decode.source import Source
from edge_agent.decode.tree import json_tree
from edge_agent.decode.value import parse_measurement
from edge_agent.domain.telemetry import Message
from edge_agent.errors import BadPayload

CONTENT_TYPES: dict[str, Format] = {
    "application/json": "json",
    "text/json": "json",
    "text/csv": "csv",
    "application/msgpack": "msgpack",
    "application/vnd.msgpack": "msgpack",
    "application/x-msgpack": "msgpack",
    "application/cbor": "cbor",
    "application/senml+json": "senml",
    "application/senml+cbor": "senml",
}
"""Content types that say more than the source's format. ``text/plain`` and
``application/octet-stream`` say nothing: too many clients send them with anything."""

OWN_FORMATS = frozenset({"senml", "sparkplug"})
"""Formats that are more than JSON or CBOR and stay what they are under those content types."""

TREES: dict[Format, Callable[[bytes], object]] = {
    "json": json_tree,
    "msgpack": msgpack_tree,
    "cbor": cbor_tree,
}


def format_of(source: Source, message: Message) -> Format:
    """The format to read ``message`` in."""
    told = message.content_type
    if told is None or source.section.format in OWN_FORMATS:
        return source.section.format
    return CONTENT_TYPES.get(told.partition(";")[0].strip().lower(), source.section.format)


def unpacked(source: Source, message: Message, limit: int) -> bytes:
    """The payload without its compression. Raises ``BadPayload``."""
    payload = message.payload
    compression = source.section.compression
    if message.user_properties:
        for key, value in message.user_properties:
            if key.lower() == "content-encoding" and value.lower() in ("gzip", "deflate", "zlib"):
                compression = "gzip"
    if compression in ("gzip", "zlib") or (compression == "auto" and payload[:2] == GZIP):
        return inflate(payload, limit)
    return payload


def read(source: Source, message: Message, payload: bytes, form: Format) -> Iterable[Sample]:
    """The samples in ``payload``. Raises ``BadPayload``, at once or on the way."""
    if form == "plain":
        return [_plain(source, payload)]
    if form == "influx":
        return influx_samples(source, payload)
    if form == "senml":
        binary = payload[:1] >= b"\x80"
        pack = cbor_tree(payload) if binary else json_tree(payload)
        return senml_samples(source, pack, message.arrived)
    if form == "csv":
        tree: object = csv_rows(source, payload)
    else:
        tree = TREES[form](payload)
    return samples(source, tree, dict(message.user_properties))


def _plain(source: Source, payload: bytes) -> Sample:
    """A bare number with or without a unit."""
    text = payload[:2000].decode("utf-8", "replace")
    value = source.section.words.get(text.strip())
    if value is not None:
        return Sample(None, value)
    value, unit = parse_measurement(text)
    if value is None:
        raise BadPayload(f"{shown(text)} is no number")
    return Sample(None, value, unit=unit)
