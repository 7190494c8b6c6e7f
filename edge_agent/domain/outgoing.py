"""A message on its way to the broker, as the outbox keeps it."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

import msgspec


class OutgoingPriority(IntEnum):
    """Order of sending, and the reverse order of shedding when the outbox is full."""

    RESULT = 0
    """Incidents, diagnoses, command responses, reported states."""
    HEALTH = 5
    NOTE = 9
    """Dead letters."""


class Outgoing(msgspec.Struct, frozen=True):
    """One MQTT message to publish at QoS 1."""

    topic: str
    payload: bytes
    key: str
    """Deduplicates inside the outbox: a message whose key still waits is not added again."""
    priority: OutgoingPriority = OutgoingPriority.RESULT
    retain: bool = False
    expires_at: float | None = None
    """Wall clock, Unix seconds; None is kept until it is sent."""
    content_type: str = "application/json"
    correlation_data: bytes | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What became of one publish.

    ``acked``: the broker has it. ``refused``: it said no, and why. ``lost``: nobody knows, so it
    must be sent again.
    """

    state: Literal["acked", "refused", "lost"]
    reason: str = ""
    code: int = 0
    """MQTT 5 reason code of a refusal."""
