"""One agent per state directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from edge_agent.errors import Unavailable


class StateLock:
    """A lock on ``{folder}/lock`` that ends with the process, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Take it, or raise ``Unavailable`` naming the process that has it."""
        self._path = folder / "lock"
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(
                f"{self._path}: {error.strerror}; make the state directory writable for the agent"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise Unavailable(
                f"{folder}: another edge-agent (pid {owner}) uses this state directory; stop it, "
                "or give this one its own with store.state_dir"
            ) from None
        self._held = True
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode("ascii"), 0)
        except OSError:
            # A full disk: the lock itself holds, only the number for people is missing.
            os.ftruncate(self._file, 0)

    def release(self) -> None:
        """Let another process have it; a second call does nothing."""
        if self._held:
            self._held = False
            os.close(self._file)


def lock_owner(folder: Path) -> int | None:
    """Process that holds the lock now, None where nobody does."""
    path = folder / "lock"
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        text = os.pread(file, 32, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else 0
    else:
        return None
    finally:
        os.close(file)
