"""Processor: how many cores we may use, how many the host uses, who waits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edge_agent.govern.cgroup import Groups, cpu_quota
from edge_agent.govern.gauge import Gauge, missing, read_text


def usable_cores(groups: Groups) -> float:
    """Cores that affinity and the control group's quota leave us; at least a tenth of one."""
    affinity = float(len(os.sched_getaffinity(0)))
    quota = cpu_quota(groups)
    return max(0.1, affinity if quota is None else min(affinity, quota))


def whole_threads(cores: float) -> int:
    """Threads for ``cores``: a thread above the quota only waits in the scheduler."""
    return max(1, int(cores + 0.01))


@dataclass(frozen=True, slots=True)
class HostTime:
    """Processor time of the whole host since boot, in clock ticks."""

    busy: float
    total: float
    cores: int


def read_host_time(root: Path) -> HostTime | None:
    """The first line of ``/proc/stat``: user nice system idle iowait irq softirq steal …

    Steal is the neighbour virtual machine's: neither busy nor ours.
    """
    lines = (read_text(root / "proc/stat") or "").splitlines()
    words = lines[0].split() if lines else []
    if len(words) < 8 or words[0] != "cpu" or not all(word.isdigit() for word in words[1:]):
        return None
    ticks = [float(word) for word in words[1:]]
    busy = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]
    cores = sum(1 for line in lines[1:] if line.startswith("cpu"))
    return HostTime(busy, sum(ticks[:8]), max(1, cores))


def busy_cores(before: HostTime | None, after: HostTime | None) -> Gauge:
    """Mean number of busy cores between two readings."""
    if before is None or after is None:
        return missing("no processor time in /proc/stat")
    total = after.total - before.total
    busy = after.busy - before.busy
    if total <= 0 or busy < 0:
        return missing("/proc/stat did not move forward")
    return Gauge(min(1.0, busy / total) * after.cores)


@dataclass(frozen=True, slots=True)
class Pressure:
    """Pressure stall information: share of the last 10 s in which somebody, or everybody,
    waited, percent; None where the kernel does not tell."""

    cpu_some: float | None = None
    memory_some: float | None = None
    memory_full: float | None = None
    io_full: float | None = None


def read_pressure(root: Path) -> Pressure:
    """``/proc/pressure``; a hardened unit with ``ProcSubset=pid`` does not see it."""
    cpu = _averages(root / "proc/pressure/cpu")
    memory = _averages(root / "proc/pressure/memory")
    io = _averages(root / "proc/pressure/io")
    return Pressure(cpu.get("some"), memory.get("some"), memory.get("full"), io.get("full"))


def _averages(path: Path) -> dict[str, float]:
    found = {}
    for line in (read_text(path) or "").splitlines():
        kind, _, rest = line.partition(" ")
        word = rest.split(" ", 1)[0]
        if word.startswith("avg10="):
            try:
                value = float(word.removeprefix("avg10="))
            except ValueError:
                continue
            if 0 <= value <= 100:
                found[kind] = value
    return found
