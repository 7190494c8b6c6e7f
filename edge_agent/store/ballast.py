"""A file that only takes up room, so that a full disk still leaves room to act."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

SPARE = 4
"""The ballast is taken only where this many times its size is free."""
log = structlog.get_logger()


class Ballast:
    """``{folder}/ballast``: given up when the disk is full, taken back when it is not."""

    def __init__(self, folder: Path, size: int) -> None:
        """``size``: bytes; 0 keeps none."""
        self._path = folder / "ballast"
        self._size = size

    @property
    def held(self) -> bool:
        """Whether the file is there in full."""
        try:
            return self._path.stat().st_size >= self._size
        except OSError:
            return self._size == 0

    def resize(self, size: int) -> None:
        """Hold so many bytes from now on; ``restore`` takes what is missing."""
        self._size = size
        if self._path.exists() and self._path.stat().st_size > size:
            self.give_up()
            self.restore()

    def restore(self) -> bool:
        """Take the room again where there is plenty; whether it is held now."""
        if self.held:
            return True
        free = os.statvfs(self._path.parent)
        if free.f_bavail * free.f_frsize < SPARE * self._size:
            return False
        try:
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size)
        except OSError as error:
            self.give_up()
            log.warning("ballast_not_held", path=str(self._path), error=str(error))
            return False
        return True

    def give_up(self) -> bool:
        """Free its room; whether there was any."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            log.warning("ballast_stuck", path=str(self._path), error=str(error))
            return False
        log.warning("ballast_given_up", bytes=self._size)
        return True
