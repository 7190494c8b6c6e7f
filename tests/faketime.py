"""Where libfaketime is, for processes that are to believe in another time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PLACES = (
    Path(os.environ.get("EDGE_AGENT_LIBFAKETIME", "/nowhere")),
    *Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"),
    Path("/usr/lib/faketime/libfaketimeMT.so.1"),
)


def at(when: str) -> dict[str, str]:
    """Environment of a process that lives at ``when`` (``1970-01-01 00:01:00``, ``+10y``); its
    monotonic clock stays honest. Skips the test where libfaketime is not installed."""
    library = next((place for place in PLACES if place.is_file()), None)
    if library is None:
        pytest.skip("no libfaketime (apt install libfaketime)")
    start = when if when[0] in "+-" else f"@{when}"
    return {"LD_PRELOAD": str(library), "FAKETIME": start, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
