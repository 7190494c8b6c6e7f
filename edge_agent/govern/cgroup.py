"""What the control group allows us, version 1 and 2, ourselves and every ancestor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_agent.govern.gauge import Gauge, missing, read_gauge, read_text

MEGABYTE = 1e6
UNLIMITED = 2**60
"""Version 1 writes a number near 2^63 for no limit; nobody has an exabyte."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Folders of our groups, innermost first; a version without the controller gives none."""

    memory_v1: tuple[Path, ...] = ()
    cpu_v1: tuple[Path, ...] = ()
    v2: tuple[Path, ...] = ()


def find_groups(root: Path, pid: str = "self") -> Groups:
    """Read ``/proc/{pid}/cgroup`` and look the groups up where distributions mount them."""
    paths: dict[str, str] = {}
    for line in (read_text(root / "proc" / pid / "cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for name in ["v2"] if number == "0" else controllers.split(","):
            paths[name] = path
    mount = root / "sys/fs/cgroup"
    unified = mount if (mount / "cgroup.controllers").exists() else mount / "unified"
    return Groups(
        memory_v1=tuple(_chain(mount / "memory", paths.get("memory"))),
        cpu_v1=tuple(_chain(_first(mount, "cpu", "cpu,cpuacct"), paths.get("cpu"))),
        v2=tuple(_chain(unified, paths.get("v2"))),
    )


def _first(mount: Path, *names: str) -> Path:
    return next((mount / name for name in names if (mount / name).is_dir()), mount / names[0])


def _chain(mount: Path, path: str | None) -> Iterator[Path]:
    """From our own folder up to the mount point. In a container the path may name a folder
    outside of it: then the mount point itself is ours."""
    if path is None or not mount.is_dir():
        return
    parts = [part for part in path.split("/") if part and part != ".."]
    for depth in range(len(parts), -1, -1):
        folder = mount.joinpath(*parts[:depth])
        if folder.is_dir():
            yield folder


def cpu_quota(groups: Groups) -> float | None:
    """Least quota on the way up, in cores; None without one."""
    quotas = []
    for folder in groups.v2:
        words = (read_text(folder / "cpu.max") or "").split()
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
            quotas.append(int(words[0]) / int(words[1]))
    for folder in groups.cpu_v1:
        quota = read_gauge(folder / "cpu.cfs_quota_us", low=1, high=1e12).value
        period = read_gauge(folder / "cpu.cfs_period_us", low=1, high=1e12).value
        if quota and period:
            quotas.append(quota / period)
    return min(quotas, default=None)


def memory_limit_mb(groups: Groups) -> float | None:
    """Least memory limit on the way up, megabytes; None without one."""
    limits = [limit for _, limit in _limits(groups)]
    return min(limits) / MEGABYTE if limits else None


def memory_room(groups: Groups) -> Gauge:
    """Megabytes until the first limit on the way up; file cache that can go counts as room."""
    rooms = []
    for folder, limit in _limits(groups):
        name = "memory.current" if folder in groups.v2 else "memory.usage_in_bytes"
        usage = read_gauge(folder / name, low=0, high=2**62)
        if usage.value is None:
            return usage
        cache = _stat(folder, ("inactive_file", "total_inactive_file"))
        rooms.append((limit - max(0.0, usage.value - cache)) / MEGABYTE)
    return Gauge(min(rooms)) if rooms else missing("no memory limit in our control groups")


def _limits(groups: Groups) -> Iterator[tuple[Path, float]]:
    for folder in groups.v2:
        for name in ("memory.max", "memory.high"):
            limit = read_gauge(folder / name, low=1, high=UNLIMITED).value
            if limit:
                yield folder, limit
    for folder in groups.memory_v1:
        limit = read_gauge(folder / "memory.limit_in_bytes", low=1, high=UNLIMITED).value
        if limit:
            yield folder, limit


def _stat(folder: Path, names: tuple[str, ...]) -> float:
    values = {}
    for line in (read_text(folder / "memory.stat") or "").splitlines():
        key, _, number = line.partition(" ")
        if key in names and number.isdigit():
            values[key] = float(number)
    # Version 1 has both; the total one holds the children as the usage does.
    return values.get(names[1], values.get(names[0], 0.0))
