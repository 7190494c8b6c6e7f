"""Decoded trees (JSON, MessagePack, CBOR, CSV rows) → samples. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edge_agent.decode.name import shown
from edge_agent.decode.sample import Sample
from edge_agent.decode.source import Source
from edge_agent.decode.tree import inside, leaves
from edge_agent.errors import BadPayload


def samples(source: Source, tree: Any, user: Mapping[str, str]) -> Iterator[Sample]:  # noqa: ANN401
    """The values of nested objects, arrays of samples, objects of a name and a value each, or a
    single value, in the order of the payload. ``user``: MQTT 5 user properties. Raises
    ``BadPayload`` for nesting too deep, or a machine's name that is missing."""
    top = inside(tree, source.values) if source.values else tree
    if top is None and source.values:
        raise BadPayload(f"nothing at values = {shown(source.section.values)}")
    outer = _looked_up(source.time, tree, user)
    if source.section.arrays != "refuse" and _numbers(top):
        yield Sample(None, top, outer, equipment=_equipment(source, tree, tree, user))
        return
    for row in top if isinstance(top, list) else (top,):
        equipment = _equipment(source, row, tree, user)
        if not isinstance(row, dict):
            yield Sample(None, row, outer, equipment=equipment)
        elif source.number is not None:
            stamp, own = _stamp(source, row, outer)
            yield Sample(None, inside(row, source.number), stamp, own, equipment)
        elif source.name is not None and source.value is not None:
            stamp, own = _stamp(source, row, outer)
            key = inside(row, source.name)
            if isinstance(key, str):
                yield Sample(key, inside(row, source.value), stamp, own, equipment)
        else:
            stamp, _ = _stamp(source, row, outer)
            yield from _columns(source, row, stamp, equipment)


def _numbers(top: Any) -> bool:  # noqa: ANN401 - a decoded payload
    return isinstance(top, list) and bool(top) and not isinstance(top[0], dict | list)


def _columns(
    source: Source, row: dict[Any, Any], outer: object, equipment: str | None
) -> Iterator[Sample]:
    """The signals of one row."""
    for key, value in leaves(row, source.value[0] if source.value else None):
        if source.value is not None and isinstance(value, dict):
            stamp, own = _stamp(source, value, outer)
            yield Sample(key, inside(value, source.value), stamp, own, equipment)
        else:
            yield Sample(key, value, outer, False, equipment)


def _stamp(source: Source, row: dict[Any, Any], outer: object) -> tuple[object, bool]:
    own = None if source.time is None else inside(row, source.time)
    return (outer, False) if own is None else (own, True)


def _equipment(
    source: Source,
    row: Any,  # noqa: ANN401 - a decoded payload
    tree: Any,  # noqa: ANN401
    user: Mapping[str, str],
) -> str | None:
    if source.equipment_from is None:
        return None
    found = _looked_up(source.equipment_from, row, user)
    if found is None:
        found = inside(tree, source.equipment_from)
    if isinstance(found, int) and not isinstance(found, bool) and abs(found) < 10**18:
        found = str(found)
    if not isinstance(found, str):
        raise BadPayload(f"no machine's name at {shown(source.section.equipment_from or '')}")
    return found


def _looked_up(path: tuple[str, ...] | None, tree: Any, user: Mapping[str, str]) -> object:  # noqa: ANN401
    if path is None:
        return None
    return user.get(".".join(path[1:])) if path[0] == "$user" else inside(tree, path)
