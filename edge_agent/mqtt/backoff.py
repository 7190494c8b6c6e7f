"""How long to wait before the next attempt to connect. Pure."""

from __future__ import annotations

from enum import Enum

FIRST_S = 0.25
BUSY_S = 5.0
STABLE_S = 10.0
"""A connection that held this long forgives the failures before it."""


class Cause(Enum):
    """Why a connection ended or never came to be."""

    LOST = "lost"
    """The network or the broker went away: try soon."""
    BUSY = "busy"
    """The broker asks for patience (server busy, quota exceeded)."""
    DENIED = "denied"
    """Wrong credentials, certificate or client id: only a person can help."""
    TAKEN_OVER = "taken-over"
    """Another client uses our client id: quick retries would be a tug of war."""
    NO_VERSION_5 = "no-version-5"
    """The broker has no MQTT 5: the next attempt uses 3.1.1, at once."""


def pause_s(failures: int, cause: Cause, cap_s: float, jitter: float) -> float:
    """Seconds to wait after ``failures`` attempts in a row (1 after the first).

    Doubles from a quarter second to ``cap_s``; ``jitter`` in [0, 1) spreads a fleet over half of
    it, so that a broker which restarts does not meet all of its clients at once.
    """
    if cause is Cause.NO_VERSION_5:
        return 0.0
    first = {Cause.BUSY: BUSY_S, Cause.DENIED: BUSY_S, Cause.TAKEN_OVER: cap_s}.get(cause, FIRST_S)
    full = min(cap_s, first * 2.0 ** min(failures - 1, 16))
    return full * (0.5 + 0.5 * jitter)


_CAUSES = {
    0x84: Cause.NO_VERSION_5,
    0x85: Cause.DENIED,
    0x86: Cause.DENIED,
    0x87: Cause.DENIED,
    0x88: Cause.BUSY,
    0x89: Cause.BUSY,
    0x8A: Cause.DENIED,
    0x8E: Cause.TAKEN_OVER,
    0x93: Cause.BUSY,
    0x96: Cause.BUSY,
    0x97: Cause.BUSY,
    0x9C: Cause.BUSY,
    0x9D: Cause.BUSY,
    0x9F: Cause.BUSY,
}
"""Reason codes of CONNACK and DISCONNECT [MQTT-2.4]; every other one is ``LOST``."""


def cause_of(code: int) -> Cause:
    """What a reason code means for the next attempt."""
    return _CAUSES.get(code, Cause.LOST)
