"""``[govern]``: budgets for power, memory and heat."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from edge_agent.config.section import Section


class GovernSection(Section):
    """Budgets. They are held whatever happens; a diagnosis comes later or shorter instead."""

    power_watts: float | None = Field(default=None, gt=0)
    """Average power of the whole gateway, watts; absent: no power budget."""
    power_window_s: float = Field(default=600.0, ge=10, le=86_400)
    """The average is taken over this time, seconds."""
    idle_watts: float = Field(default=3.0, ge=0)
    """Estimate without a sensor: power of the idle gateway, watts."""
    watts_per_core: float = Field(default=4.0, gt=0)
    """Estimate without a sensor: additional watts per busy core."""
    memory_mb: int = Field(default=1024, ge=64)
    """Daemon and worker together, megabytes resident."""
    heat_margin_c: float = Field(default=8.0, ge=0, le=50)
    """Slow down this far below the first thermal trip point, degrees Celsius."""
    sensor_root: Path = Path("/")
    """Where ``sys`` and ``proc`` are looked for; tests and odd boards supply their own."""
