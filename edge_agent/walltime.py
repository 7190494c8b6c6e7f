"""Whether the wall clock can be believed. Pure.

A gateway without a battery-backed clock boots in 1970, or at the date of its last shutdown, until
the network tells it the time. Inside the daemon everything runs on the monotonic clock; the wall
clock only dates messages, and each says whether it could be trusted.
"""

from __future__ import annotations

RELEASED = 1_793_491_200.0
"""1 November 2026: no honest clock shows a time before this program was written."""
TOO_FAR = RELEASED + 40 * 365.25 * 86_400
"""Nor one far beyond the life of any gateway."""


def trusted(now: float) -> bool:
    """Whether ``now``, wall clock in Unix seconds, can be right."""
    return RELEASED <= now <= TOO_FAR
