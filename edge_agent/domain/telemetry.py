"""What a machine says: messages as they arrive, and the readings decoded from them."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Quality(StrEnum):
    """How far a reading can be trusted; only ``GOOD`` ones teach a baseline."""

    GOOD = "good"
    STALE = "stale"
    """The source says so, or it went away (death certificate)."""
    REPLAY = "replay"
    """A retained or historical value: no sign of life."""
    OUT_OF_RANGE = "out_of_range"
    """Outside what the sensor can physically measure, or not a finite number."""
    DUPLICATE = "duplicate"
    LATE = "late"
    FUTURE = "future"


class Message(msgspec.Struct, frozen=True, gc=False):
    """One MQTT message as it arrived. ``ack`` is opaque to everyone but ``mqtt``."""

    topic: str
    payload: bytes
    arrived: float
    """Wall clock at arrival, Unix seconds."""
    retained: bool = False
    content_type: str | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    response_topic: str | None = None
    correlation_data: bytes | None = None
    expiry_s: float | None = None
    ack: tuple[int, int, int] | None = None
    """(connection generation, packet id, QoS); None needs no acknowledgement."""


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One value of one signal of one machine."""

    equipment: str
    signal: str
    value: float
    at: float
    """The source's time, Unix seconds; arrival time where the source gives none."""
    quality: Quality = Quality.GOOD
