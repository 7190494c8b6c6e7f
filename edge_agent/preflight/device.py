"""Clock, disk, sensors and budgets of the gateway itself."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.govern.governor import Governor
from edge_agent.govern.objections import objections
from edge_agent.govern.sensors import Sensors
from edge_agent.preflight.line import Line, Subject, error, ok, warning
from edge_agent.walltime import trusted

LEAST_FREE_MB = 200
SYNCHRONIZED = Path("/run/systemd/timesync/synchronized")
TIMESYNC = Path("/run/systemd/timesync")
WORN = 0x0B
"""JESD84-B51, DEVICE_LIFE_TIME_EST: 0x01 to 0x0A are tenths of the life used, 0x0B is beyond."""
WORN_SOON = 0x09


def clock(_about: Subject) -> Iterator[Line]:
    """The wall clock can be believed, and something keeps it right."""
    now = time.time()
    shown = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if not trusted(now):
        text = f"it is {shown}, which can't be: messages will say that the time is doubtful"
        yield error("clock", text, "set the clock, or let the network do it (systemd-timesyncd)")
    elif TIMESYNC.is_dir() and not SYNCHRONIZED.exists():
        text = f"{shown}; systemd-timesyncd has not reached a time server yet"
        yield warning("clock", text, "check NTP= in /etc/systemd/timesyncd.conf and the firewall")
    else:
        kept = ", kept by systemd-timesyncd" if SYNCHRONIZED.exists() else ""
        yield ok("clock", f"{shown}{kept}")


def disk(about: Subject) -> Iterator[Line]:
    """The state directory can be written, its disk has room, and its flash is not worn out."""
    store = about.settings.store
    folder = store.state_dir
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        text = f"{folder} cannot be written by this user"
        yield error("disk", text, "run as the service's user, or as root")
        return
    held = sum(f.stat().st_size for f in folder.glob("*.db*")) // 1_000_000
    free = shutil.disk_usage(existing).free // 1_000_000
    needed = max(0, store.max_mb - held) + LEAST_FREE_MB
    text = f"{folder}: {free} MB free, {held} of {store.max_mb} MB used by the database"
    if free >= needed:
        yield ok("disk", text)
    else:
        yield warning("disk", text, f"free {needed - free} MB, or lower store.max_mb")
    yield from _flash(about.settings.govern.sensor_root, existing)


def _flash(root: Path, folder: Path) -> Iterator[Line]:
    """What an eMMC says of its own wear; nothing where the disk is none."""
    number = folder.stat().st_dev
    name = f"sys/dev/block/{os.major(number)}:{os.minor(number)}"
    device = (root / name).resolve()
    for place in (device, *list(device.parents)[:3]):
        try:
            text = (place / "device" / "life_time").read_text(encoding="ascii")
        except OSError:
            continue
        words = text.split()
        try:
            used = max(int(word, 16) for word in words)
        except ValueError:
            return
        share = f"the flash below {folder} has used up to {min(used, 10) * 10} % of its life"
        if used >= WORN:
            yield error("disk", f"{share} and more", "replace the storage; keep a backup")
        elif used >= WORN_SOON:
            yield warning("disk", share, "plan its replacement")
        else:
            yield ok("disk", share)
        return


def sensors(about: Subject) -> Iterator[Line]:
    """Which sensors answer, for power, heat and memory."""
    vitals = Sensors(about.settings.govern).sample(time.monotonic())
    gauges = {
        "power": (vitals.watts, "W"),
        "heat": (vitals.heat.headroom_c, "°C below the first trip point"),
        "memory": (vitals.memory.available, "MB available"),
    }
    found = [
        f"{name} {gauge.value:.1f} {unit}"
        for name, (gauge, unit) in gauges.items()
        if gauge.value is not None
    ]
    absent = [name for name, (gauge, _) in gauges.items() if gauge.value is None]
    text = "; ".join(found) + (f"; no sensor for {', '.join(absent)}" if absent else "")
    wants_power = about.settings.govern.power_watts is not None
    if "power" in absent and wants_power:
        yield warning(
            "sensors",
            f"{text}: watts are estimated from processor time",
            "calibrate with a plug meter: edge-agent calibrate; or set govern.meter_topic",
        )
    else:
        yield ok("sensors", text)


def budgets(about: Subject) -> Iterator[Line]:
    """The budgets can be held."""
    govern = about.settings.govern
    governor = Governor(govern, clock=time.time, monotonic=time.monotonic, state=None)
    governor.sample()
    status = governor.status()
    source = "measured" if status.watts_measured else "estimated (no power sensor found)"
    watts = "no power budget" if govern.power_watts is None else f"{govern.power_watts:g} W"
    text = f"{watts}, {govern.memory_mb} MB; power is {source}; level {status.level}"
    yield ok("budgets", text)
    for objection in objections(govern, Sensors(govern).sample(time.monotonic())):
        yield error("budgets", objection, "correct [govern]")
