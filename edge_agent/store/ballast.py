"""A file that only takes up room, so that a full disk still leaves room to act."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

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
            return False

    def restore(self, spare: int) -> bool:
        """Write the file again if that leaves ``spare`` bytes free; whether it is there now."""
        if self.held:
            return True
        stat = os.statvfs(self._path.parent)
        if stat.f_bavail * stat.f_frsize < self._size + spare:
            return False
        try:
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size)
        except OSError as error:
            self._path.unlink(missing_ok=True)
            log.warning("ballast_not_restored", path=str(self._path), error=str(error))
            return False
        return True

    def give_up(self) -> bool:
        """Free its room; whether there was any."""
        try:
            freed = self._path.stat().st_size > 0
            self._path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            log.warning("ballast_stuck", path=str(self._path), error=str(error))
            return False
        if freed:
            log.warning("ballast_given_up", bytes=self._size)
        return freed
