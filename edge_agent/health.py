"""What the agent says of itself: one document for ``…/health``, ``status`` and ``status.json``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.errors import Unavailable
from edge_agent.store.connection import FATAL

Section = Callable[[], dict[str, Any]]


class Health:
    """Collects a section from each part; a part that cannot answer never silences the others."""

    def __init__(self, sections: dict[str, Section]) -> None:
        self._sections = sections

    def report(self) -> dict[str, Any]:
        """The whole document; a section that cannot be had now is its reason."""
        return {name: _told(section) for name, section in self._sections.items()}

    def write(self, path: Path) -> None:
        """Leave the report in a file for local tools; replaced in one step."""
        draft = path.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(self.report()))
        draft.replace(path)


def _told(section: Section) -> object:
    try:
        return msgspec.to_builtins(section())
    except FATAL:
        raise
    except Unavailable as error:
        return {"unavailable": str(error)}
