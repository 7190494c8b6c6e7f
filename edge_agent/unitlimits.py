"""The resource limits of the systemd units, from the same budgets that the settings give. Pure."""

from __future__ import annotations

import math

from edge_agent.config.settings import Settings

DAEMON_MB = 96
"""Room that the daemon itself may take, megabytes."""
LEEWAY = 1.15
"""The governor holds ``memory_mb``; the kernel reclaims at this multiple, and kills ``SLACK_MB``
above that: it is the last line, not the first."""
SLACK_MB = 128
TASKS = 64
"""Threads of the daemon, or of a worker that computes with few, generously."""
DAEMON_CORES = 0.5
"""What the daemon itself may use beside the model, cores."""
STOP_MARGIN_S = 25
AGENT, WORKER = "edge-agent", "edge-agent-inference"

Limits = dict[str, str]


def worker_budget_mb(settings: Settings) -> int:
    """What is left of ``govern.memory_mb`` for a worker in a unit of its own, megabytes."""
    return max(1, settings.govern.memory_mb - DAEMON_MB)


def limits(settings: Settings) -> dict[str, Limits]:
    """Directives of the ``[Service]`` section, by unit (without ``.service``).

    With ``inference.socket`` the worker has its own unit and its share of the budget; without,
    the agent's unit holds both processes.
    """
    govern, own_unit = settings.govern, settings.inference.socket is not None
    cores = compute_cores(settings)
    threads = settings.inference.threads or 2
    agent = _memory(2 * DAEMON_MB if own_unit else govern.memory_mb)
    agent["TasksMax"] = str(TASKS if own_unit else 2 * TASKS + 2 * threads)
    if own_unit:
        agent["CPUQuota"] = _percent(2 * DAEMON_CORES)
    elif cores is not None:
        agent["CPUQuota"] = _percent(cores + DAEMON_CORES)
    agent["TimeoutStopSec"] = str(math.ceil(settings.agent.shutdown_grace_s) + STOP_MARGIN_S)
    units = {AGENT: agent}
    if own_unit:
        worker = _memory(worker_budget_mb(settings))
        worker["TasksMax"] = str(TASKS + 2 * threads)
        if cores is not None:
            worker["CPUQuota"] = _percent(cores)
        units[WORKER] = worker
    return units


def compute_cores(settings: Settings) -> float | None:
    """Cores that the settings let the model use at once: its threads, and what the peak power
    allows above idle at ``watts_per_core``; None where neither is given."""
    bounds = []
    if settings.inference.threads is not None:
        bounds.append(float(settings.inference.threads))
    govern = settings.govern
    if govern.power_peak_watts is not None:
        spare = govern.power_peak_watts - govern.idle_watts
        bounds.append(max(1.0, spare / govern.watts_per_core))
    return min(bounds) if bounds else None


def drop_in(unit: str, directives: Limits) -> str:
    """A drop-in file for ``unit`` with where it belongs in its first line."""
    lines = [f"# /etc/systemd/system/{unit}.service.d/50-budgets.conf", "[Service]"]
    return "\n".join([*lines, *(f"{key}={value}" for key, value in directives.items())]) + "\n"


def _memory(megabytes: float) -> Limits:
    # systemd's M is 2^20 bytes, the settings' megabyte 10^6.
    mebi = megabytes * 1e6 / 2**20
    high = math.ceil(mebi * LEEWAY)
    return {
        "MemoryHigh": f"{high}M",
        "MemoryMax": f"{high + SLACK_MB}M",
        "MemorySwapMax": "0",
    }


def _percent(cores: float) -> str:
    return f"{math.ceil(cores * 100)}%"
