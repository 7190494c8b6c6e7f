"""Compressed payloads, inflated no further than the bound on payloads. Pure."""

from __future__ import annotations

import zlib

from edge_agent.errors import BadPayload

GZIP = b"\x1f\x8b"


def inflate(payload: bytes, limit: int) -> bytes:
    """``payload``, gzip or zlib, inflated to at most ``limit`` bytes. Raises ``BadPayload`` where
    it is neither, cut short, or larger than that."""
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        inflated = inflater.decompress(payload, limit + 1)
    except zlib.error as error:
        raise BadPayload(f"neither gzip nor zlib: {error}") from None
    if len(inflated) > limit:
        raise BadPayload(f"inflates to more than telemetry.max_payload_kb ({limit // 1024}) allows")
    if not inflater.eof:
        raise BadPayload("compressed payload is cut short")
    return inflated
