"""Power sensors: RAPL energy counters, board monitors below hwmon, batteries.

Formulas: watts = microjoules / 1e6 / seconds (kernel: power/powercap); millivolts x milliamperes
/ 1e6, or microwatts / 1e6 (kernel: hwmon/sysfs-interface, ina2xx, ina3221);
microvolts x microamperes / 1e12 (kernel: power/power_supply_class).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.govern.gauge import Gauge, entries, missing, read_gauge, read_text

LEAST_WATTS = 0.05
MOST_WATTS = 3_000.0
"""No gateway takes less or more: a value outside is a broken sensor, not a measurement."""

BOARD_MONITORS = re.compile(r"(ina\d\w*|power_meter|ltc\d{4}|max34\d+|pac19\d+)")
"""Chips that measure a board's supply; a graphics card's or a disk's sensor is none."""
TOTAL_RAILS = ("vdd_in", "pom_5v_in", "vin", "input", "total", "system", "sys")
"""Labels of a rail that already holds the others, in lower case."""
RAPL_ZONE = re.compile(r"intel-rapl:\d+(:\d+)?")


def plausible(watts: float, source: str) -> Gauge:
    """``watts`` unless no gateway can take that much or that little."""
    if not LEAST_WATTS <= watts <= MOST_WATTS:
        return missing(f"{source}: {watts:.3g} W is not plausible")
    return Gauge(watts, source)


@dataclass(frozen=True, slots=True)
class EnergyZone:
    """A RAPL counter that we add up: a package, or memory, which a package leaves out."""

    name: str
    counter: Path
    range_uj: float | None
    """Where it wraps, microjoules."""


@dataclass(frozen=True, slots=True)
class EnergyReading:
    """All counters at one moment."""

    at: float
    """Monotonic seconds."""
    microjoules: Mapping[str, float]


def find_energy_zones(root: Path) -> list[EnergyZone]:
    """RAPL packages and DRAM; core and uncore are parts of a package and are left out."""
    zones = []
    for folder in entries(root / "sys/class/powercap", "intel-rapl:*"):
        name = read_text(folder / "name")
        if not RAPL_ZONE.fullmatch(folder.name) or name is None:
            continue
        if name.startswith("package") or name == "dram":
            limit = read_gauge(folder / "max_energy_range_uj", low=1, high=2**63)
            zones.append(EnergyZone(f"{folder.name} {name}", folder / "energy_uj", limit.value))
    return zones


def read_energy(zones: Sequence[EnergyZone], now: float) -> EnergyReading | Gauge:
    """Every counter, or a gauge with the reason why one could not be read."""
    counters = {}
    for zone in zones:
        counter = read_gauge(zone.counter, low=0, high=2**63)
        if counter.value is None:
            return counter
        counters[zone.name] = counter.value
    return EnergyReading(now, counters)


def watts_between(
    zones: Sequence[EnergyZone], before: EnergyReading, after: EnergyReading
) -> Gauge:
    """Mean power between two readings of the same zones, with at most one wrap-around each."""
    seconds = after.at - before.at
    if seconds <= 0:
        return missing("RAPL: no time between two readings")
    total = 0.0
    for zone in zones:
        if zone.name not in before.microjoules or zone.name not in after.microjoules:
            return missing(f"RAPL {zone.name}: the counter is new")
        step = after.microjoules[zone.name] - before.microjoules[zone.name]
        if step < 0:
            if zone.range_uj is None:
                return missing(f"RAPL {zone.name}: went backwards and its range is unknown")
            step += zone.range_uj
        if step < 0:
            return missing(f"RAPL {zone.name}: went backwards by more than its range")
        total += step
    return plausible(total / 1e6 / seconds, "RAPL")


@dataclass(frozen=True, slots=True)
class Rail:
    """One supply rail of a board monitor."""

    label: str
    microwatts: Path | None
    millivolts: Path | None = None
    milliamperes: Path | None = None

    def watts(self) -> Gauge:
        """Power of this rail now; a rail that is switched off takes 0."""
        if self.microwatts is not None:
            return read_gauge(self.microwatts, low=0, high=MOST_WATTS * 1e6).scaled(1e-6)
        if self.millivolts is None or self.milliamperes is None:
            return missing(f"{self.label}: neither power nor voltage and current")
        volts = read_gauge(self.millivolts, low=0, high=1e6)
        amperes = read_gauge(self.milliamperes, low=-1e6, high=1e6)
        if volts.value is None:
            return volts
        if amperes.value is None:
            return amperes
        return Gauge(max(0.0, volts.value * amperes.value) / 1e6)


def find_rails(root: Path, wanted: Sequence[str] = ()) -> list[Rail]:
    """Rails whose powers add up to the board's: those labelled as ``wanted``, else a total one,
    else all of the known board monitors."""
    rails = []
    for chip in entries(root / "sys/class/hwmon", "hwmon*"):
        name = read_text(chip / "name") or ""
        if wanted or BOARD_MONITORS.fullmatch(name):
            rails += _rails_of(chip, name)
    if wanted:
        return [rail for rail in rails if rail.label in wanted]
    totals = [rail for rail in rails if rail.label.split("/")[-1].lower() in TOTAL_RAILS]
    return totals[:1] or rails


def _rails_of(chip: Path, name: str) -> list[Rail]:
    rails = []
    for suffix in ("input", "average"):
        for path in entries(chip, f"power*_{suffix}"):
            channel = path.name.removeprefix("power").removesuffix(f"_{suffix}")
            label = read_text(chip / f"power{channel}_label") or f"power{channel}"
            rails.append(Rail(f"{name}/{label}", path))
        if rails:
            return rails
    for current in entries(chip, "curr*_input"):
        channel = current.name.removeprefix("curr").removesuffix("_input")
        voltage = chip / f"in{channel}_input"
        if channel.isdigit() and voltage.exists():
            label = read_text(chip / f"in{channel}_label") or f"in{channel}"
            rails.append(Rail(f"{name}/{label}", None, voltage, current))
    return rails


def board_watts(rails: Sequence[Rail]) -> Gauge:
    """Sum over ``rails``; one that fails makes the whole sum unknown."""
    if not rails:
        return missing("hwmon: no board power monitor")
    total = 0.0
    for rail in rails:
        watts = rail.watts()
        if watts.value is None:
            return watts
        total += watts.value
    return plausible(total, "hwmon " + ", ".join(rail.label for rail in rails))


NOT_DISCHARGING = missing("not on battery")


@dataclass(frozen=True, slots=True)
class Supply:
    """Mains and batteries."""

    on_battery: bool | None
    """None where the machine has no battery that we can see."""
    charge_percent: float | None = None
    watts: Gauge = NOT_DISCHARGING
    """Discharge power: what the whole machine takes."""


def read_supply(root: Path) -> Supply:
    """State of ``power_supply``; batteries of mice and the like (scope Device) do not count."""
    mains: list[bool] = []
    discharging: list[Path] = []
    charges: list[float] = []
    for folder in entries(root / "sys/class/power_supply", "*"):
        kind = read_text(folder / "type")
        if read_text(folder / "scope") == "Device":
            continue
        if kind in ("Mains", "USB"):
            mains.append(read_gauge(folder / "online", low=0, high=2).value not in (0, None))
        elif kind in ("Battery", "UPS"):
            charge = read_gauge(folder / "capacity", low=0, high=100).value
            charges += [] if charge is None else [charge]
            if read_text(folder / "status") == "Discharging":
                discharging.append(folder)
    if not charges and not discharging:
        return Supply(None)
    lowest = min(charges) if charges else None
    if any(mains) or (not mains and not discharging):
        return Supply(False, lowest)
    return Supply(True, lowest, _discharge(discharging))


def _discharge(batteries: Sequence[Path]) -> Gauge:
    total = 0.0
    for folder in batteries:
        power = read_gauge(folder / "power_now", low=-MOST_WATTS * 1e6, high=MOST_WATTS * 1e6)
        if power.value is not None:
            total += abs(power.value) / 1e6
            continue
        volts = read_gauge(folder / "voltage_now", low=0, high=1e9)
        amperes = read_gauge(folder / "current_now", low=-1e9, high=1e9)
        if volts.value is None or amperes.value is None:
            return missing(f"{folder.name}: tells neither power nor voltage and current")
        total += abs(volts.value * amperes.value) / 1e12
    return plausible(total, "battery")
