"""What is due by the wall clock: shifts that ended, and each machine's turn. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo

DAY_S = 86_400.0


def last_shift(
    now: float, ends: Sequence[str], zone: tzinfo | None = None
) -> tuple[float, float] | None:
    """(start, end) of the shift that ended last, Unix seconds; None where no shifts are set.
    ``ends``: ``HH:MM`` in ``zone``, by default the gateway's. ``now``: Unix seconds."""
    if not ends:
        return None
    today = datetime.fromtimestamp(now, zone)
    times = sorted(
        (today + timedelta(days=days))
        .replace(hour=int(end[:2]), minute=int(end[3:]), second=0, microsecond=0)
        .timestamp()
        for end in set(ends)
        for days in (-2, -1, 0, 1)
    )
    past = [at for at in times if at <= now]
    return past[-2], past[-1]


def turn(now: float, period_s: float, name: str) -> int:
    """Which turn of a machine it is; the machines' turns are spread over the period."""
    offset = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
    return int(now / period_s + offset)
