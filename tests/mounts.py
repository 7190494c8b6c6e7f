"""A small file system of its own, for disks that fill up or turn read-only."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def mounting(*command: str | Path) -> list[str]:
    """The command as root, or by way of a sudo that asks for no password."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    return [*prefix, *map(str, command)]


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A tmpfs of that size at ``folder``; skips the test where we may not mount."""
    folder.mkdir(exist_ok=True)
    options = f"size={megabytes}m,mode=0777"
    command = mounting("mount", "-t", "tmpfs", "-o", options, "tmpfs", folder)
    try:
        failed = subprocess.run(command, capture_output=True, check=False).returncode
    except FileNotFoundError:
        failed = 1
    if failed:
        pytest.skip("no right to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(mounting("umount", "-l", folder), check=False)


def fill(folder: Path) -> Path:
    """Take all the room that is left; delete the file to give it back."""
    filler = folder / "filler"
    chunk = bytes(4096)
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(chunk):
            pass
    return filler
