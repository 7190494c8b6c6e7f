"""Heat: thermal zones with their trip points, frequency caps, the Raspberry Pi's flags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_agent.govern.gauge import Gauge, entries, missing, read_gauge, read_text

COUNTED_TRIPS = ("passive", "hot", "critical")
"""At an ``active`` trip point a fan starts, which is nobody's trouble."""
THROTTLED = Path("sys/devices/platform/soc/soc:firmware/get_throttled")
FLAGS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
"""Bits of the Raspberry Pi's ``get_throttled`` that say what holds now; 16 to 19 say since boot."""


@dataclass(frozen=True, slots=True)
class Heat:
    """The zone that is nearest to its first trip point."""

    headroom_c: Gauge
    """Degrees Celsius left to the first trip point."""
    hottest_c: float | None = None
    zone: str = ""


def read_heat(root: Path, limit_c: float) -> Heat:
    """Least headroom over all zones; a zone without trip points is held to ``limit_c``."""
    nearest: Heat | None = None
    reason = "no thermal zone"
    for folder in entries(root / "sys/class/thermal", "thermal_zone*"):
        temperature = read_gauge(folder / "temp", low=-40_000, high=150_000).scaled(1e-3)
        if temperature.value is None:
            reason = temperature.reason
            continue
        trip = first_trip(folder)
        headroom = (limit_c if trip is None else trip) - temperature.value
        name = read_text(folder / "type") or folder.name
        if nearest is None or headroom < (nearest.headroom_c.value or 0.0):
            nearest = Heat(Gauge(headroom, name), temperature.value, name)
    return nearest or Heat(missing(reason))


def first_trip(zone: Path) -> float | None:
    """Lowest trip point of ``zone`` that throttles or shuts down, degrees Celsius."""
    trips = []
    for kind in entries(zone, "trip_point_*_type"):
        if read_text(kind) in COUNTED_TRIPS:
            path = kind.with_name(kind.name.replace("_type", "_temp"))
            # Some boards write 0 or negative numbers for a trip point that is switched off.
            value = read_gauge(path, low=20_000, high=150_000).value
            trips += [] if value is None else [value / 1e3]
    return min(trips, default=None)


def read_flags(root: Path) -> frozenset[str]:
    """What the Raspberry Pi's firmware complains of now; empty elsewhere."""
    text = read_text(root / THROTTLED)
    try:
        bits = int(text, 16) if text and len(text) <= 10 else 0
    except ValueError:
        return frozenset()
    return frozenset(name for bit, name in FLAGS.items() if bits >> bit & 1)


def frequency_share(root: Path) -> Gauge:
    """Highest frequency that cpufreq permits now, as a share of what the first core can do."""
    folder = root / "sys/devices/system/cpu/cpu0/cpufreq"
    most = read_gauge(folder / "cpuinfo_max_freq", low=1, high=1e8)
    now = read_gauge(folder / "scaling_max_freq", low=1, high=1e8)
    if most.value is None:
        return most
    if now.value is None:
        return now
    return Gauge(min(1.0, now.value / most.value))
