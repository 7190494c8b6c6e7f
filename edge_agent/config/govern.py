"""``[govern]``: budgets for power, memory and heat."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_agent.config.section import Section
from edge_agent.domain.level import Level

TIME = r"^([01]\d|2[0-3]):[0-5]\d$"
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class ScheduleSection(Section):
    """``[[govern.schedule]]``: other budgets at certain times; the first that fits holds."""

    name: str = Field(min_length=1, max_length=64)
    """For the reason in health: "night", "on battery"."""
    days: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    """Days on which it starts."""
    start: str = Field(default="00:00", pattern=TIME)
    """Local time."""
    end: str = Field(default="00:00", pattern=TIME)
    """Local time; not after ``start``: on the next day."""
    on_battery: bool | None = None
    """Holds only on battery (true) or on mains (false)."""
    power_watts: float | None = Field(default=None, gt=0)
    """Instead of the section's; absent: the section's."""
    power_peak_watts: float | None = Field(default=None, gt=0)
    """Instead of the section's; absent: the section's."""
    best_level: Level = Level.FULL
    """No better level than this."""


class GovernSection(Section):
    """Budgets. They are held whatever happens; a diagnosis comes later or shorter instead."""

    power_watts: float | None = Field(default=None, gt=0)
    """Average power of the whole gateway, watts; absent: no power budget."""
    power_peak_watts: float | None = Field(default=None, gt=0)
    """Power that is not exceeded even for a moment, watts; bounds the worker's threads."""
    power_window_s: float = Field(default=600.0, ge=10, le=86_400)
    """The average is taken over this time, seconds."""
    power_sensor: Literal["auto", "hwmon", "battery", "rapl", "estimate"] = "auto"
    """Where watts come from; ``auto``: the first that answers, in this order."""
    power_rails: tuple[str, ...] = ()
    """hwmon rails to add up, as ``chip/label``; absent: the board's known power monitors."""
    power_offset_watts: float = Field(default=0.0, ge=0)
    """What the gateway takes beyond what the sensor sees, watts; RAPL sees the processor only."""
    idle_watts: float = Field(default=3.0, ge=0)
    """Estimate without a sensor: power of the idle gateway, watts."""
    watts_per_core: float = Field(default=4.0, gt=0)
    """Estimate without a sensor: additional watts per busy core."""
    meter_topic: str | None = Field(default=None, pattern=r"^[^#+]+$")
    """An external power meter's MQTT topic; it goes before every other sensor."""
    meter_field: str = "watts"
    """Where its payload holds the power: a key, a dotted path, or "" for a bare number."""
    meter_scale: float = Field(default=1.0, gt=0)
    """Watts per unit of the meter: 1000 for kilowatts."""
    meter_stale_s: float = Field(default=60.0, ge=1, le=3600)
    """A meter silent for longer is lost, seconds."""
    schedule: tuple[ScheduleSection, ...] = Field(default=(), max_length=64)
    """Other budgets by shift, night or battery."""
    critical_reserve: float = Field(default=0.25, ge=0, le=0.9)
    """Share of the joules in store that only diagnoses of critical faults may spend."""
    longest_wait_s: float = Field(default=600.0, ge=1, le=86_400)
    """A diagnosis that would wait longer than this for energy is answered by the rules, seconds."""
    memory_mb: int = Field(default=1024, ge=64)
    """Daemon and worker together, megabytes resident."""
    host_reserve_mb: int = Field(default=128, ge=0)
    """Memory of the host that we leave to the others, megabytes."""
    heat_margin_c: float = Field(default=8.0, ge=0, le=50)
    """Slow down this far below the first thermal trip point, degrees Celsius."""
    heat_limit_c: float = Field(default=85.0, ge=30, le=125)
    """Taken for a thermal zone that names no trip point, degrees Celsius."""
    battery_low_percent: float = Field(default=30.0, ge=0, le=100)
    """On battery, only rules answer below this charge."""
    hysteresis_s: float = Field(default=30.0, ge=1, le=3600)
    """A level gets better only after things have been better for this long, seconds; it gets worse
    at once."""
    sensor_root: Path = Path("/")
    """Where ``sys`` and ``proc`` are looked for; tests and odd boards supply their own."""
