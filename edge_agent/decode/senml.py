"""SenML (RFC 8428), in JSON or CBOR → samples. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from edge_agent.decode.name import described
from edge_agent.decode.sample import Sample
from edge_agent.decode.source import Source
from edge_agent.errors import BadPayload

LABELS = {-2: "bn", -3: "bt", -4: "bu", -5: "bv", 0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 6: "t"}
"""Numbers that stand for the labels in CBOR (RFC 8428, table 4)."""

RELATIVE = 2.0**28
"""Times below this are seconds relative to now (RFC 8428, section 4.5.3)."""


def senml_samples(source: Source, pack: Any, arrived: float) -> Iterator[Sample]:  # noqa: ANN401
    """The records of a pack, base values resolved.

    A name's ``/`` become dots, since no signal may hold them; with ``equipment_from = "bn"`` the
    base name is the machine. Raises ``BadPayload``.
    """
    if not isinstance(pack, list):
        raise BadPayload(f"a SenML pack is an array, and this is {described(pack)}")
    base: dict[str, Any] = {}
    by_name = source.equipment_from == ("bn",)
    for entry in pack:
        if not isinstance(entry, dict):
            raise BadPayload(f"a SenML record is an object, and this is {described(entry)}")
        record = {LABELS.get(key, key) if type(key) is int else key: entry[key] for key in entry}
        base |= {key: record[key] for key in ("bn", "bt", "bu", "bv") if key in record}
        value = _value(record, base)
        if value is None:
            continue
        prefix, name = _text(base.get("bn", "")), _text(record.get("n", ""))
        key = name if by_name else prefix + name
        seconds = _number(base.get("bt", 0)) + _number(record.get("t", 0))
        if not math.isfinite(seconds):
            raise BadPayload("a SenML time that is not finite")
        at = arrived + seconds if seconds < RELATIVE else seconds
        timed = "bt" in base or "t" in record
        unit = record.get("u", base.get("bu"))
        yield Sample(
            key.strip("/:").replace("/", ".") or None,
            value,
            equipment=prefix.strip("/:").replace("/", ".") if by_name else None,
            at=at if timed else None,
            own_time=timed,
            unit=unit if isinstance(unit, str) else None,
        )


def _value(record: dict[Any, Any], base: dict[str, Any]) -> object:
    """The value of a record: a number, a boolean, a text, or None where it has none."""
    if "v" in record or ("bv" in base and not {"vs", "vb", "vd"} & record.keys()):
        return _number(record.get("v", 0)) + _number(base.get("bv", 0))
    found = record.get("vb", record.get("vs"))
    return found if isinstance(found, bool | str) else None


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    raise BadPayload(f"a SenML number that is {described(value)}")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise BadPayload(f"a SenML name that is {described(value)}")
