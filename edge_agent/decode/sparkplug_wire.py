"""Sparkplug B payloads: protobuf → values, and the two messages that a host writes. Pure.

``protobuf`` is imported with the first payload: most gateways never see one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from edge_agent.decode.name import shown
from edge_agent.domain.outgoing import Outgoing
from edge_agent.domain.telemetry import Quality
from edge_agent.errors import BadPayload

SIGNED = {1: 8, 2: 16, 3: 32, 4: 64}
"""Data types of signed integers → bits; they travel as their two's complement."""
NUMERIC = frozenset({*range(1, 12), 13})
"""Int8 to UInt64, Float, Double, Boolean; DateTime counts milliseconds."""
UNREAD = frozenset({16, 17, 18, 19, *range(22, 35)})
"""Data sets, bytes, files, templates and arrays: passed over and counted."""

QUALITIES = {192: None, 500: Quality.STALE}
"""Codes of the ``Quality`` property; any other (0 is bad) says that the value is not to be
trusted, which is stale to us."""


class Metric(NamedTuple):
    """One metric of a payload. ``value``: number, boolean or text; None where it is null."""

    name: str | None
    alias: int | None
    datatype: int | None
    value: object
    at: float | None
    """Unix seconds."""
    historical: bool
    quality: Quality | None
    unit: str | None


class Payload(NamedTuple):
    """A whole payload. ``unread``: how many metrics were data sets, templates and their like."""

    at: float | None
    seq: int | None
    metrics: list[Metric]
    unread: int


def parse(payload: bytes, datatype_of: Callable[[int | None, str | None], int | None]) -> Payload:
    """Read a payload; ``datatype_of``: (alias, name) → the data type said at birth, which DATA
    messages may leave out. Raises ``BadPayload``."""
    from google.protobuf.message import DecodeError

    from edge_agent.decode.sparkplug_pb2 import Payload as Wire  # type: ignore[attr-defined]

    try:
        wire = Wire.FromString(payload)
        metrics = [_metric(metric, datatype_of) for metric in wire.metrics]
    except (DecodeError, UnicodeDecodeError) as error:
        raise BadPayload(f"no Sparkplug payload: {shown(str(error), 120)}") from None
    read = [metric for metric in metrics if metric is not None]
    return Payload(
        at=wire.timestamp / 1000 if wire.HasField("timestamp") else None,
        seq=wire.seq if wire.HasField("seq") else None,
        metrics=read,
        unread=len(metrics) - len(read),
    )


def _metric(
    wire: Any,  # noqa: ANN401 - generated
    datatype_of: Callable[[int | None, str | None], int | None],
) -> Metric | None:
    name = _text(wire.name) if wire.HasField("name") else None
    alias = wire.alias if wire.HasField("alias") else None
    kind = wire.datatype if wire.HasField("datatype") else datatype_of(alias, name)
    field = wire.WhichOneof("value")
    if kind in UNREAD or field in ("bytes_value", "dataset_value", "template_value"):
        return None
    quality, unit = _properties(wire.properties) if wire.HasField("properties") else (None, None)
    null = field is None or wire.is_null
    return Metric(
        name=name,
        alias=alias,
        datatype=kind,
        value=None if null else _value(getattr(wire, field), kind),
        at=wire.timestamp / 1000 if wire.HasField("timestamp") else None,
        historical=wire.is_historical,
        quality=quality,
        unit=unit,
    )


def _text(found: str | bytes) -> str:
    """Text, which protobuf hands over as bytes where it is no UTF-8. Raises ``BadPayload``."""
    if isinstance(found, bytes):
        raise BadPayload(f"no Sparkplug payload: {found[:60]!a} is no UTF-8 text")
    return found


def _value(value: object, kind: int | None) -> object:
    bits = SIGNED.get(kind or 0)
    if bits is None or not isinstance(value, int):
        return value
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _properties(wire: Any) -> tuple[Quality | None, str | None]:  # noqa: ANN401 - generated
    """Quality and engineering unit, where the properties tell them."""
    quality: Quality | None = None
    unit = None
    for key, value in zip(wire.keys, wire.values, strict=False):
        if key == "Quality" and value.WhichOneof("value") in ("int_value", "long_value"):
            quality = QUALITIES.get(value.int_value or value.long_value, Quality.STALE)
        elif key == "engUnit" and value.HasField("string_value"):
            unit = _text(value.string_value)
    return quality, unit


def rebirth_request(group: str, node: str, now: float) -> Outgoing:
    """The command that asks a node to announce all its metrics again."""
    from edge_agent.decode.sparkplug_pb2 import Payload as Wire  # type: ignore[attr-defined]

    wire = Wire(timestamp=int(now * 1000))
    wire.metrics.add(
        name="Node Control/Rebirth", timestamp=int(now * 1000), datatype=11, boolean_value=True
    )
    return Outgoing(
        topic=f"spBv1.0/{group}/NCMD/{node}",
        payload=wire.SerializeToString(deterministic=True),
        key=f"sparkplug-rebirth/{group}/{node}",
        expires_at=now + 60.0,
        content_type="application/x-protobuf",
    )


def host_state(host: str, *, online: bool, since: float) -> Outgoing:
    """The retained STATE of a host application. The will carries ``online=False`` with the same
    ``since`` (Unix seconds of this connection) as the birth."""
    return Outgoing(
        topic=f"spBv1.0/STATE/{host}",
        payload=json.dumps({"online": online, "timestamp": int(since * 1000)}).encode(),
        key=f"sparkplug-state/{host}",
        retain=True,
    )


def bdseq(metrics: list[Metric]) -> int | None:
    """The number that ties a death certificate to its birth."""
    for metric in metrics:
        if metric.name == "bdSeq" and isinstance(metric.value, int):
            return metric.value
    return None
