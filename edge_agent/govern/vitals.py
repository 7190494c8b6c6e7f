"""Everything the sensors said at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_agent.govern.cpu import Pressure
from edge_agent.govern.gauge import Gauge, missing
from edge_agent.govern.heat import Heat
from edge_agent.govern.memory import MemoryUse
from edge_agent.govern.power import Supply


@dataclass(frozen=True, slots=True)
class Vitals:
    """One sample. A gauge without a value carries the reason."""

    at: float
    """Monotonic seconds."""
    watts: Gauge
    """As measured, without the settings' offset."""
    busy_cores: Gauge
    worker_cores: float
    """Cores the worker kept busy since the last sample."""
    cores: float
    """Cores we may use."""
    memory: MemoryUse
    heat: Heat
    pressure: Pressure = field(default_factory=Pressure)
    supply: Supply = field(default_factory=lambda: Supply(None))
    flags: frozenset[str] = frozenset()
    frequency_share: Gauge = field(default_factory=lambda: missing("no cpufreq"))
    lost: tuple[str, ...] = ()
    """Sensors that worked before and do not now: ``power``, ``heat``."""
