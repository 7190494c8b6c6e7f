"""Computed prompt prefixes on disk, so that a restarted worker need not read a card again.

A file is: magic, SHA-256 of the state, the state as llama.cpp gives it. Its name is a hash over all
that the state depends on. Whatever is wrong with a file, it counts as absent: llama.cpp never sees
a byte of a state that we did not write ourselves in one piece.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
from collections.abc import Sequence
from pathlib import Path

import structlog

log = structlog.get_logger()

MAGIC = b"EAPREFX1"
SUFFIX = ".prefix"


class PrefixStore:
    """A folder of states, bounded by ``limit_mb``: the least recently used go first."""

    def __init__(self, folder: Path, limit_mb: int, depends_on: Sequence[str]) -> None:
        self._folder = folder
        self._limit = limit_mb * 1_000_000
        self._base = hashlib.sha256("\0".join(depends_on).encode())

    def _path(self, tokens: Sequence[int], adapter: str) -> Path:
        digest = self._base.copy()
        digest.update(adapter.encode())
        digest.update(struct.pack(f"<{len(tokens)}i", *tokens))
        return self._folder / (digest.hexdigest()[:40] + SUFFIX)

    def load(self, tokens: Sequence[int], adapter: str = "") -> bytes | None:
        """The state after ``tokens``, computed with ``adapter`` (its hash), or None."""
        path = self._path(tokens, adapter)
        try:
            with path.open("rb") as file:
                head = file.read(len(MAGIC) + 32)
                state = file.read(self._limit)
            if head != MAGIC + hashlib.sha256(state).digest():
                path.unlink()
                return None
            os.utime(path)
        except OSError:
            return None  # absent, or the disk fails: the prefix is computed instead
        return state

    def save(self, tokens: Sequence[int], state: bytes, adapter: str = "") -> None:
        """Keep ``state``; without effect if it is too large or the disk does not take it."""
        if len(state) > self._limit // 2:
            return
        path = self._path(tokens, adapter)
        fresh = path.with_suffix(".new")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._shrink(len(state))
            with fresh.open("wb") as file:
                file.write(MAGIC + hashlib.sha256(state).digest())
                file.write(state)
            fresh.replace(path)
        except OSError as error:
            log.info("prefix_not_saved", reason=str(error))
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)  # the next save tries again

    def _shrink(self, more: int) -> None:
        """Delete the oldest until ``more`` bytes fit, and whatever a crash left half written."""
        for left in self._folder.glob("*.new"):
            left.unlink(missing_ok=True)
        found = [(path.stat(), path) for path in self._folder.glob(f"*{SUFFIX}")]
        files = sorted((status.st_mtime_ns, status.st_size, path) for status, path in found)
        total = sum(size for _, size, _ in files) + more
        for _, size, path in files:
            if total <= self._limit:
                return
            path.unlink(missing_ok=True)
            total -= size
