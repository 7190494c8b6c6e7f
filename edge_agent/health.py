"""What the agent says of itself: one document for ``…/health``, ``status`` and ``status.json``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

Section = Callable[[], dict[str, Any]]


class Health:
    """Collects a section from each part; a part that cannot answer never silences the others."""

    def __init__(self, sections: dict[str, Section]) -> None:
        self._sections = sections

    def report(self) -> dict[str, Any]:
        """The whole document."""
        return {name: msgspec.to_builtins(section()) for name, section in self._sections.items()}

    def write(self, path: Path) -> None:
        """Leave the report in a file for local tools; replaced in one step."""
        draft = path.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(self.report()))
        draft.replace(path)
