"""Memory: what we hold, what the host has left, and what the worker may therefore take."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import psutil

from edge_agent.config.govern import GovernSection
from edge_agent.govern.gauge import Gauge, missing, read_text

MEGABYTE = 1e6
DAEMON_GROWTH_MB = 16.0
"""Kept for the daemon itself, which breathes."""
GROUP_RESERVE_MB = 64.0
"""Kept free below a control group's limit, where the kernel kills instead of swapping."""


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """One process: resident and anonymous megabytes, processor seconds since its start."""

    resident_mb: float = 0.0
    anonymous_mb: float = 0.0
    cpu_s: float = 0.0


def process_use(process: psutil.Process | None) -> ProcessUse:
    """What ``process`` holds; nothing where there is none or it has ended."""
    if process is None:
        return ProcessUse()
    try:
        with process.oneshot():
            memory = process.memory_info()
            times = process.cpu_times()
    except psutil.Error:
        return ProcessUse()
    resident = memory.rss / MEGABYTE
    # File pages such as a mapped model are "shared": the kernel takes them back by itself.
    return ProcessUse(
        resident, resident - memory.shared / MEGABYTE, float(times.user + times.system)
    )


def host_available(root: Path) -> Gauge:
    """``MemAvailable``, megabytes."""
    for line in (read_text(root / "proc/meminfo") or "").splitlines():
        key, _, rest = line.partition(":")
        words = rest.split()
        if key == "MemAvailable" and words and words[0].isdigit():
            value = int(words[0]) * 1024 / MEGABYTE
            return Gauge(value) if value < 1e9 else missing("MemAvailable is not plausible")
    return missing("no MemAvailable in /proc/meminfo")


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Memory at one moment, megabytes."""

    daemon: ProcessUse
    worker: ProcessUse
    available: Gauge
    """What the host can give without swapping."""
    group_room: Gauge
    """What our control groups let us still take."""

    @property
    def ours_mb(self) -> float:
        """Daemon and worker, resident."""
        return self.daemon.resident_mb + self.worker.resident_mb


def worker_room(use: MemoryUse, settings: GovernSection) -> float:
    """Megabytes that the worker may hold in all: the least of our budget, the control group's
    limit, and what the host can spare above its reserve. A neighbour that grows lowers it."""
    rooms = [settings.memory_mb - use.daemon.resident_mb - DAEMON_GROWTH_MB]
    if use.group_room.value is not None:
        rooms.append(use.worker.resident_mb + use.group_room.value - GROUP_RESERVE_MB)
    if use.available.value is not None:
        spare = use.available.value - settings.host_reserve_mb
        rooms.append(use.worker.resident_mb + spare)
    return max(0.0, min(rooms))


def memory_stress(use: MemoryUse, settings: GovernSection) -> tuple[float, str]:
    """1 where a limit is reached, less below it, and which limit is nearest.

    Against our own budget: used / budget. Against the host and the control group: half the
    reserve / what is left. So between the whole and half of a reserve ``worker_room`` asks for a
    smaller worker, and at half of it this asks for none.
    """
    own = use.ours_mb / settings.memory_mb
    causes = [(own, f"{use.ours_mb:.0f} of {settings.memory_mb} MB used")]
    reserve = settings.host_reserve_mb
    if use.available.value is not None:
        left = max(1.0, use.available.value)
        causes.append((0.5 * reserve / left, f"the host has {left:.0f} MB left"))
    if use.group_room.value is not None:
        left = max(1.0, use.group_room.value)
        causes.append((0.5 * GROUP_RESERVE_MB / left, f"the control group has {left:.0f} MB left"))
    return max(causes)


AHEAD_S = 10.0
"""A decline over the last this many seconds is expected to go on for as long."""


class RoomTrend:
    """What the worker may plan with: falls at once, and further while the room is falling, since
    a model that loads needs what it needs only seconds later; rises after a while of calm."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=4096)

    def observe(self, now: float, room_mb: float, hold_s: float) -> None:
        """Add what ``worker_room`` said at ``now`` (monotonic); forget what is older than
        ``hold_s`` (or ``AHEAD_S``)."""
        self._seen.append((now, room_mb))
        while now - self._seen[0][0] > max(hold_s, AHEAD_S):
            self._seen.popleft()

    def plan_mb(self, now: float, hold_s: float) -> float:
        """Least room of the last ``hold_s``, less what it may lose soon."""
        if not self._seen:
            return 0.0
        newest = self._seen[-1][1]
        least = min(room for at, room in self._seen if now - at <= hold_s)
        highest = max(room for at, room in self._seen if now - at <= AHEAD_S)
        return max(0.0, min(least, newest - (highest - newest)))


SQUEEZE_LEAST = 0.1


def squeeze(share: float, *, over: bool, calm: bool) -> float:
    """Next share of its room that the worker is planned with: a step down by 30 % after a
    memory alarm (the same plan would only raise it again), a tenth back up when calm."""
    if over:
        return max(SQUEEZE_LEAST, share * 0.7)
    return min(1.0, share + 0.1) if calm else share
