"""Programs and files that ``scripts/fetch_tools`` unpacks for tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from plant import REPOSITORY

TOOLS = REPOSITORY / ".venv" / "tools"


def program(name: str) -> str:
    """Where the program is: installed, else unpacked. The test fails where it is neither."""
    found = shutil.which(name) or shutil.which(name, path=str(TOOLS / "usr" / "bin"))
    return found or pytest.fail(f"{name} is not here; run scripts/fetch_tools")


def file(name: str) -> Path:
    """A file below the folder of tools."""
    found = TOOLS / name
    return found if found.exists() else pytest.fail(f"{found} is not here; run scripts/fetch_tools")
