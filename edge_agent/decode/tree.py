"""A payload → plain Python values, and the ways through them by dotted path. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from edge_agent.decode.name import shown
from edge_agent.errors import BadPayload

DEEPEST = 16
"""Levels of nesting that are looked into for signals."""

_decode = msgspec.json.Decoder().decode


def json_tree(payload: bytes) -> Any:  # noqa: ANN401 - whatever the sender wrote
    """The JSON document in ``payload``; ``NaN``, ``Infinity`` and numbers beyond a float's range,
    which many senders write although JSON knows none, become floats. Raises ``BadPayload``."""
    try:
        return _decode(payload)
    except RecursionError:
        raise BadPayload("JSON nested too deep to read") from None
    except msgspec.MsgspecError as error:
        if b"NaN" in payload or b"Infinity" in payload or "out of range" in str(error):
            return _lenient(payload)
        raise BadPayload(f"no JSON: {str(error).removeprefix('JSON is malformed: ')}") from None
    except UnicodeDecodeError:
        raise BadPayload("JSON text is not UTF-8") from None


def _lenient(payload: bytes) -> Any:  # noqa: ANN401
    try:
        return json.loads(payload.decode())
    except (ValueError, RecursionError) as error:
        raise BadPayload(f"no JSON: {shown(str(error), 120)}") from None


def inside(tree: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401
    """What stands at ``path`` (keys of objects, indexes of arrays), or None."""
    for step in path:
        if isinstance(tree, dict):
            tree = tree.get(step)
        elif isinstance(tree, list) and step.isdigit() and int(step[:9]) < len(tree):
            tree = tree[int(step[:9])]
        else:
            return None
    return tree


def leaves(tree: dict[Any, Any], stop: str | None = None) -> Iterator[tuple[str, Any]]:
    """Every value of nested objects under its dotted name. An object that holds the key ``stop``
    counts as a value itself. Keys that are neither text nor integers, as binary formats allow, are
    passed over. Raises ``BadPayload`` where the nesting is too deep."""
    pending: list[tuple[str, Any, int]] = [("", tree, 0)]
    while pending:
        path, node, depth = pending.pop()
        if isinstance(node, dict) and not (stop is not None and depth and stop in node):
            if depth >= DEEPEST:
                raise BadPayload(f"objects nested deeper than {DEEPEST} levels")
            prefix = f"{path}." if path else ""
            pending.extend(
                (f"{prefix}{key}", value, depth + 1)
                for key, value in reversed(node.items())
                if isinstance(key, str) or (type(key) is int and abs(key) < 2**64)
            )
        else:
            yield path, node
