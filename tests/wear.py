"""How much the daemon writes: bytes that reached the block layer, at a load that is told.

Time runs fast: rows come ``speed`` times as fast as from real machines, and what the daemon does
by the clock (health, snapshots) is set to happen as much more often.
"""

from __future__ import annotations

import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from brokers import Mosquitto, wait_until
from peer import Peer
from plant import Daemon, write_settings
from soak import HEALTHY_ROWS, MACHINES, Soak, cards_for_pumps, feed

HEALTH_S, SNAPSHOT_S = 60.0, 300.0
"""The settings' defaults, seconds."""
SPEED = 50.0
DAY_S = 86_400.0


@dataclass(frozen=True)
class Wear:
    """What a run wrote."""

    seconds: float
    """Of the machines' time."""
    written: int
    """Bytes."""
    messages: int
    incidents: int

    @property
    def megabytes_per_day(self) -> float:
        """10^6 bytes."""
        return self.written / self.seconds * DAY_S / 1e6


def measure(minutes: float, *, with_faults: bool) -> Wear:
    """Run it for so long, after the machines were learned."""
    with tempfile.TemporaryDirectory() as name, Mosquitto(["autosave_interval 0"]) as broker:
        folder = Path(name)
        config = write_settings(
            folder,
            broker.port,
            detect={"learn_rows": 500, "snapshot_s": SNAPSHOT_S / SPEED},
            health={"interval_s": HEALTH_S / SPEED},
            diagnose={"cards": str(cards_for_pumps(folder))},
            inference={"model": f"{name}/no.gguf", "fallbacks": []},
            log={"level": "warning"},
        )
        result, stop = Soak(0, 0.0, SPEED), threading.Event()
        with Peer(broker.port, "machines") as machines, Daemon(config) as daemon:
            assert daemon.process
            feeding = threading.Thread(
                target=feed, args=(result, machines, stop), kwargs={"with_faults": with_faults}
            )
            feeding.start()
            try:
                wait_until(lambda: result.messages > HEALTHY_ROWS * MACHINES, 300)
                pid, first = daemon.process.pid, result.messages
                before = written(pid)
                time.sleep(minutes * 60)
                after, last = written(pid), result.messages
            finally:
                stop.set()
                feeding.join(30)
            daemon.terminate()
        return Wear((last - first) / MACHINES, after - before, last - first, _incidents(folder))


def written(pid: int) -> int:
    """``write_bytes``: what the process caused to be sent to storage, its own pages only."""
    text = Path(f"/proc/{pid}/io").read_text()
    return int(next(row.split()[1] for row in text.splitlines() if row.startswith("write_bytes")))


def _incidents(folder: Path) -> int:
    import sqlite3

    raw = sqlite3.connect(folder / "state" / "edge-agent.db")
    (count,) = raw.execute("SELECT count(*) FROM incidents").fetchone()
    raw.close()
    return int(count)
