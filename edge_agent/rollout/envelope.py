"""The envelope of everything desired from afar: exact bytes, and who signed them. Pure.

On the wire, one JSON object::

    {"body": "<the body as JSON text>", "key": "<name of the key>", "signature": "<base64>"}

The signature covers the UTF-8 bytes of the string ``body`` as they are, behind a fixed prefix
(``signature.SIGNED_PREFIX``): nothing has to be written in a canonical form again to check it.
A body sent bare, without an envelope, is an unsigned document.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, NoReturn

from edge_agent.errors import BadConfig

LIMIT_BYTES = 1 << 20
"""A larger document is refused unread."""
LIMIT_DEPTH = 32
"""Deeper nesting is refused: no settings section comes near it."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A document as it arrived: ``body`` is not parsed before ``signature`` is verified."""

    body: bytes
    key: str | None = None
    signature: bytes | None = None


def open_envelope(payload: bytes) -> Envelope:
    """The envelope in ``payload``. Raises ``BadConfig``, and nothing else, for any bytes."""
    document = read_object(payload, "desired document")
    if "body" not in document:
        return Envelope(body=payload)
    unknown = sorted(set(document) - {"body", "key", "signature"})
    if unknown:
        raise BadConfig(f"envelope: unknown key {unknown[0]!r}; allowed: body, key, signature")
    body = _text(document, "body").encode("utf-8")
    if "signature" not in document:
        return Envelope(body=body)
    text = _text(document, "signature")
    try:
        signature = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadConfig("envelope: signature is not base64; sign the document again") from None
    return Envelope(body=body, key=_text(document, "key"), signature=signature)


def close_envelope(envelope: Envelope) -> bytes:
    """The bytes to publish for ``envelope``."""
    document = {"body": envelope.body.decode("utf-8")}
    if envelope.signature is not None and envelope.key is not None:
        document["key"] = envelope.key
        document["signature"] = base64.b64encode(envelope.signature).decode("ascii")
    return json.dumps(document, ensure_ascii=False).encode("utf-8")


def read_object(payload: bytes, what: str) -> dict[str, Any]:
    """``payload`` as one JSON object within the limits; ``what`` names it in ``BadConfig``.

    Refused as well: a key given twice (two readers would read two documents), NaN and infinity,
    and text that is no Unicode (lone surrogates).
    """
    if len(payload) > LIMIT_BYTES:
        raise BadConfig(f"{what}: {len(payload)} bytes; at most {LIMIT_BYTES} are read")
    try:
        document = json.loads(
            payload.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant
        )
    except UnicodeDecodeError as error:
        raise BadConfig(f"{what}: not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise BadConfig(f"{what}: nested deeper than {LIMIT_DEPTH} levels") from None
    except ValueError as error:
        raise BadConfig(f"{what}: not JSON: {str(error)[:200]}") from None
    if not isinstance(document, dict):
        raise BadConfig(f"{what}: a JSON object is expected, found {type(document).__name__}")
    _within_limits(document, what)
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:60]!r} stands twice in one object")
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _within_limits(document: dict[str, Any], what: str) -> None:
    pending: list[tuple[Any, int]] = [(document, 1)]
    while pending:
        node, depth = pending.pop()
        if depth > LIMIT_DEPTH:
            raise BadConfig(f"{what}: nested deeper than {LIMIT_DEPTH} levels")
        if isinstance(node, dict):
            pending.extend((part, depth + 1) for part in (*node.keys(), *node.values()))
        elif isinstance(node, list):
            pending.extend((part, depth + 1) for part in node)
        elif isinstance(node, str):
            try:
                node.encode("utf-8")
            except UnicodeEncodeError:
                raise BadConfig(f"{what}: text with a lone surrogate is no Unicode") from None
        elif isinstance(node, float) and node in (float("inf"), float("-inf")):
            raise BadConfig(f"{what}: a number too large for a double")


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise BadConfig(f"envelope: {key} must be a string, found {type(value).__name__}")
    return value
