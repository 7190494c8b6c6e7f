"""MessagePack and CBOR → plain Python values. Pure.

``cbor2`` is imported with the first CBOR payload: most gateways never see one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge_agent.decode.name import shown
from edge_agent.errors import BadPayload

_msgpack = msgspec.msgpack.Decoder().decode

DEEPEST = 32
"""Nesting of CBOR that is decoded at all."""

REFUSED_TAGS = (5, 28, 29, 30, 35, 36, 37, 258)
"""Big floats and fractions whose arithmetic a sender can make endless, references that make
cycles, patterns, mails, identifiers, sets: no telemetry is written in them."""


def msgpack_tree(payload: bytes) -> Any:  # noqa: ANN401 - whatever the sender wrote
    """The MessagePack document. Raises ``BadPayload``."""
    try:
        return _msgpack(payload)
    except RecursionError:
        raise BadPayload("MessagePack nested too deep to read") from None
    except (msgspec.MsgspecError, ValueError, OverflowError, TypeError) as error:
        raise BadPayload(f"no MessagePack: {shown(str(error), 120)}") from None


def cbor_tree(payload: bytes) -> Any:  # noqa: ANN401
    """The CBOR document. Raises ``BadPayload``."""
    import cbor2

    def refuse(_decoder: object, _immutable: bool = False) -> object:
        raise ValueError("a tag that no telemetry needs")

    try:
        return cbor2.loads(
            payload, max_depth=DEEPEST, semantic_decoders=dict.fromkeys(REFUSED_TAGS, refuse)
        )
    except (cbor2.CBORError, ValueError, OverflowError, TypeError, ArithmeticError) as error:
        raise BadPayload(f"no CBOR: {shown(str(error), 120)}") from None
