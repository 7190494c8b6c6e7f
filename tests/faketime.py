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


class Clock:
    """A wall clock that a running process believes in, and that can be set meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "faketime"
        self.set("+0")
        self.environment = {
            **{key: value for key, value in at("+0").items() if key != "FAKETIME"},
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
        }

    def set(self, offset: str) -> None:
        """``+3650d``, ``-3650d``: from now on, seen from the true time."""
        self._file.write_text(f"{offset}\n")
