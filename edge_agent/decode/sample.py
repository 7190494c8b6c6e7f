"""Payloads that are more than one flat object of signals → samples. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from edge_agent.decode.name import shown
from edge_agent.decode.source import Source
from edge_agent.decode.tree import inside, leaves
from edge_agent.errors import BadPayload


class Sample(NamedTuple):
    """One value as it stands in a payload."""

    key: str | None
    """The signal's name in the payload; None where only the topic names it."""
    value: object
    stamp: object = None
    """The timestamp as it stands there; None where there is none."""
    own_time: bool = False
    """The stamp is this signal's own, and not that of a whole row."""


def samples(source: Source, tree: Any) -> Iterator[Sample]:  # noqa: ANN401 - a decoded payload
    """The values of nested objects, arrays of samples, objects of a name and a value each, or a
    single value, in the order of the payload. Raises ``BadPayload`` for nesting too deep."""
    top = inside(tree, source.values) if source.values else tree
    if top is None and source.values:
        raise BadPayload(f"nothing at values = {shown(source.section.values)}")
    outer = None if source.time is None else inside(tree, source.time)
    for row in top if isinstance(top, list) else (top,):
        if not isinstance(row, dict):
            yield Sample(None, row, outer)
        elif source.name is not None and source.value is not None:
            stamp, own = _stamp(source, row, outer)
            key = inside(row, source.name)
            if isinstance(key, str):
                yield Sample(key, inside(row, source.value), stamp, own)
        else:
            stamp, _ = _stamp(source, row, outer)
            yield from _columns(source, row, stamp)


def _columns(source: Source, row: dict[str, Any], outer: object) -> Iterator[Sample]:
    """The signals of one row."""
    if source.value is None:
        for key, value in leaves(row):
            yield Sample(key, value, outer)
        return
    for key, value in leaves(row, source.value[0]):
        if isinstance(value, dict):
            stamp, own = _stamp(source, value, outer)
            yield Sample(key, inside(value, source.value), stamp, own)
        else:
            yield Sample(key, value, outer)


def _stamp(source: Source, row: dict[str, Any], outer: object) -> tuple[object, bool]:
    own = None if source.time is None else inside(row, source.time)
    return (outer, False) if own is None else (own, True)
