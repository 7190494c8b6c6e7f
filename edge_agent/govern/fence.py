"""A control group of the worker's own, where the host lets us make one.

Version 2, delegated to us by systemd (``Delegate=memory``): ``memory.high`` slows the worker down
and takes its cache back, ``memory.max`` is the wall. Elsewhere the ``oom_score_adj`` that the
worker gives itself makes it the first to go. Nothing here raises: what was done, or why not, is
said in words.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edge_agent.govern.cgroup import Groups
from edge_agent.govern.gauge import read_text

WORKER, DAEMON = "worker", "daemon"
DELEGATED = ("user.delegate", "trusted.delegate")
"""Extended attributes by which systemd marks a group as delegated."""
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Fence:
    """Where the worker is, and in words what holds it."""

    folder: Path | None
    words: str


def delegated_group(groups: Groups, daemon: int) -> Path | None:
    """Our own version 2 group, if it was handed to us and can limit memory.

    After a first time the daemon itself sits in the ``daemon`` child: then the parent is meant.
    """
    if not groups.v2:
        return None
    own = groups.v2[0]
    if own.name == DAEMON and str(daemon) in (read_text(own / "cgroup.procs") or "").split():
        own = own.parent
    controllers = (read_text(own / "cgroup.controllers") or "").split()
    if "memory" not in controllers or not os.access(own / "cgroup.subtree_control", os.W_OK):
        return None
    return own if _marked(own) else None


def _marked(folder: Path) -> bool:
    for name in DELEGATED:
        try:
            if os.getxattr(folder, name) == b"1":
                return True
        except OSError:
            continue
    return False


def enclose(
    group: Path | None, daemon: int, worker: int, *, high_mb: float, most_mb: float
) -> Fence:
    """Put ``worker`` into a group of its own below ``group`` with these limits."""
    if group is None:
        return Fence(
            None, "no control group was delegated to us: the worker's oom_score_adj must do"
        )
    folder = group / WORKER
    try:
        _make_room(group, daemon)
        folder.mkdir(exist_ok=True)
        _limit(folder, high_mb, most_mb)
        (folder / "cgroup.procs").write_text(str(worker), encoding="ascii")
    except OSError as error:
        return Fence(None, f"no limit of its own: {error.filename or folder}: {error.strerror}")
    return Fence(folder, f"memory.high {high_mb:.0f} MB, memory.max {most_mb:.0f} MB")


def tighten(fence: Fence, high_mb: float) -> bool:
    """Move ``memory.high``; whether the kernel took it. ``memory.max`` stays: it would kill."""
    if fence.folder is None:
        return False
    try:
        (fence.folder / "memory.high").write_text(str(int(high_mb * MEGABYTE)), encoding="ascii")
    except OSError:
        return False
    return True


def _make_room(group: Path, daemon: int) -> None:
    """Version 2 gives a group's children controllers only while it holds no process itself."""
    wanted = group / "cgroup.subtree_control"
    if "memory" in (read_text(wanted) or "").split():
        return
    inner = group / DAEMON
    inner.mkdir(exist_ok=True)
    for pid in (read_text(group / "cgroup.procs") or str(daemon)).split():
        (inner / "cgroup.procs").write_text(pid, encoding="ascii")
    wanted.write_text("+memory", encoding="ascii")


def _limit(folder: Path, high_mb: float, most_mb: float) -> None:
    for name, value in (("memory.high", high_mb), ("memory.max", most_mb)):
        (folder / name).write_text(str(int(value * MEGABYTE)), encoding="ascii")
    # A worker that swaps is slower than no model, and the host's swap is the others'.
    swap = folder / "memory.swap.max"
    if swap.exists():
        swap.write_text("0", encoding="ascii")
