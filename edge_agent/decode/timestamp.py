"""What a source writes for a time → Unix seconds. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from edge_agent.decode.name import described, shown
from edge_agent.errors import BadPayload

LATEST = 253_402_300_799.0
"""The end of the year 9999: a number beyond it is no time in this unit."""

UNITS = {"unix": 1.0, "unix_ms": 1e3, "unix_us": 1e6, "unix_ns": 1e9}

Clock = Callable[[object], float]


def time_reader(form: str, zone: str) -> Clock:
    """A function from a timestamp as it stands in the payload to Unix seconds.

    ``form``: a key of ``UNITS``, ``iso8601``, or a ``strptime`` pattern; ``zone``: where a time
    that carries no offset was written. The function raises ``BadPayload``.
    """
    if form in UNITS:
        return _counted(form, UNITS[form])
    return _written(form, UTC if zone == "UTC" else ZoneInfo(zone))


def _counted(form: str, per_second: float) -> Clock:
    def read(stamp: object) -> float:
        seconds = math.nan
        if isinstance(stamp, datetime):
            return _dated(stamp, UTC)
        if isinstance(stamp, int | float | str) and not isinstance(stamp, bool):
            with suppress(ValueError, OverflowError):
                seconds = float(stamp) / per_second
        if not 0.0 <= seconds <= LATEST:
            raise BadPayload(f"the timestamp, {described(stamp)}, is no time in {form}")
        return seconds

    return read


def _dated(time: datetime, zone: tzinfo) -> float:
    """A time that the format itself knows as one, as MessagePack and CBOR do."""
    try:
        seconds = (time if time.tzinfo else time.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError):
        seconds = -1.0
    return checked(seconds)


def checked(seconds: float) -> float:
    """``seconds``, if it is a time since 1970. Raises ``BadPayload``."""
    if not 0.0 <= seconds <= LATEST:
        raise BadPayload(f"the timestamp, {seconds:g} s, lies outside of 1970 to 9999")
    return seconds


def _written(form: str, zone: tzinfo) -> Clock:
    iso = form == "iso8601"

    def read(stamp: object) -> float:
        if isinstance(stamp, datetime):
            return _dated(stamp, zone)
        if not isinstance(stamp, str) or len(stamp) > 64:
            raise BadPayload(f"the timestamp, {described(stamp)}, is no {form} text")
        try:
            time = datetime.fromisoformat(stamp) if iso else datetime.strptime(stamp, form)  # noqa: DTZ007
            seconds = (time if time.tzinfo else time.replace(tzinfo=zone)).timestamp()
        except (ValueError, OverflowError):
            seconds = -1.0
        if seconds < 0.0:
            raise BadPayload(f"the timestamp {shown(stamp)} does not read as {form}")
        return seconds

    return read
