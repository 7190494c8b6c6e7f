"""The soak: the real daemon and a real mosquitto under accelerated telemetry, while the broker
restarts and freezes, the disk fills, the worker is killed and the settings are read again. Memory,
descriptors, threads and files are sampled, and judged by the slope of what is left of them.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from brokers import Mosquitto
from findings import finding, job
from mounts import fill, mounting, small_disk
from peer import Peer
from plant import REPOSITORY, Daemon, write_settings

from edge_agent.config.settings import StoreSection
from edge_agent.domain.finding import IncidentPhase
from edge_agent.domain.job import JobState
from edge_agent.inference.shape_model import SHAPES, make_shape_model
from edge_agent.simulate.faults import Fault, FaultName
from edge_agent.simulate.pump import PumpLoop
from edge_agent.store.database import FILE_NAME, Store
from edge_agent.store.incidents import INCIDENTS_KEPT
from edge_agent.store.jobs import DONE_KEPT

MACHINES = 4
HEALTHY_ROWS, FAULTY_ROWS = 900, 300
SAMPLE_S = 3.0
FIRST_EVENT_S = 60.0
GAP_S = 45.0
"""Mean pause between two disturbances, seconds."""
IN_FLIGHT = 400
"""Telemetry that may wait for the broker; beyond it the machines wait, as a slow source would."""
DISK_MB = 96
EVIDENCE = 13
"""Pieces of evidence of a made-up finding: 1.9 kB, as the simulated pump's findings have."""
SHAKE_DOWN_S = 9.0
"""Pause between the disturbances of the warm-up: each comes a few times before it is judged."""
WARM_UP = 0.25
"""Part of the run that is not judged: learning, first loads, caches."""
BLOCKS = 12
"""Means of so many stretches are fitted: neighbouring samples are not independent."""
STUDENT = 2.2
"""97.5th percentile of Student's t with ``BLOCKS - 2`` degrees of freedom."""
NEGLIGIBLE = 0.02
"""Growth over the judged stretch, as a part of the mean, that is flat however sure the slope is."""


@dataclass
class Soak:
    """What a run saw."""

    seed: int
    seconds: float
    speed: float
    at: list[float] = field(default_factory=list)
    """Seconds since the start, of each sample."""
    series: dict[str, list[float]] = field(default_factory=dict)
    """Name → one value for each sample."""
    events: list[tuple[float, str]] = field(default_factory=list)
    """(seconds since the start, disturbance)."""
    messages: int = 0
    """Telemetry that the broker acknowledged."""
    incidents: int = 0
    diagnoses: int = 0
    lost: list[str] = field(default_factory=list)
    """What the store says was done and no subscriber heard, and the reverse."""
    ended: str = ""
    """How the daemon ended, if not as it should."""


def soak(seed: int, hours: float, speed: float, model: str | None) -> Soak:
    """Run it. ``speed``: rows a second from each machine, whose own clock runs as fast."""
    result = Soak(seed, hours * 3600.0, speed)
    with tempfile.TemporaryDirectory() as name, _disk(Path(name)) as disk:
        folder = Path(name)
        tiny = folder / "tiny.gguf"
        if model is None:
            make_shape_model(tiny, SHAPES["arcee-tiny"], "F32", tokenizer=None)
        broker_lines = ["max_queued_messages 0", "autosave_interval 0"]
        with Mosquitto(broker_lines, folder=folder / "broker") as broker:
            config = write_settings(
                folder,
                broker.port,
                store={"state_dir": str(disk / "state"), "max_mb": 48, "ballast_mb": 8},
                diagnose={"cards": str(cards_for_pumps(folder))},
                inference={"model": model or str(tiny), "recycle_jobs": 50, "fallbacks": []},
                health={"interval_s": 5},
                log={"level": "info"},
            )
            prefill(disk / "state")
            with Peer(broker.port, "machines") as machines, Peer(broker.port, "hearer") as hearer:
                hearer.listen("edge/gw1/#")
                with Daemon(config) as daemon:
                    _live(result, Scene(broker, daemon, machines, disk, random.Random(seed)))
                    result.ended = _settle(daemon, hearer)
                judge(result, hearer, disk / "state" / FILE_NAME)
    return result


def _may_mount() -> bool:
    try:
        return not subprocess.run(mounting("true"), capture_output=True, check=False).returncode
    except FileNotFoundError:
        return False


def cards_for_pumps(folder: Path) -> Path:
    """The simulated pump's card for all machines: without one, no model is asked."""
    cards = folder / "cards"
    cards.mkdir()
    text = (REPOSITORY / "configs/equipment/simulated-pump.toml").read_text()
    (cards / "pumps.toml").write_text(text.replace("simulated-pump", "pump-*"))
    return cards


@contextmanager
def _disk(folder: Path) -> Iterator[Path]:
    if _may_mount():
        with small_disk(folder / "disk", DISK_MB) as disk:
            yield disk
    else:
        (folder / "disk").mkdir()
        yield folder / "disk"


def prefill(state: Path) -> None:
    """As many finished jobs and incidents as are ever kept, as large as the real ones: the file
    begins at its full size."""
    store = Store.open(state, StoreSection(ballast_mb=0))
    evidence = finding().evidence * EVIDENCE
    with store.transaction():
        for number in range(INCIDENTS_KEPT):
            found = finding(f"old-{number}", phase=IncidentPhase.CLOSED)
            store.incidents.record(found.model_copy(update={"evidence": evidence}))
        for number in range(DONE_KEPT):
            queued = job(f"old-{number}", created_at=time.time())
            found = queued.finding.model_copy(update={"evidence": evidence})
            store.jobs.enqueue(queued.model_copy(update={"finding": found}))
            claimed = store.jobs.claim(time.time())
            assert claimed
            store.jobs.finish(claimed, JobState.DONE)
    store.close()


@dataclass
class Scene:
    """What the disturbances act on."""

    broker: Mosquitto
    daemon: Daemon
    machines: Peer
    disk: Path
    random: random.Random

    def disturbances(self) -> dict[str, Callable[[], None]]:
        """Each lasts seconds and undoes itself."""
        found = {
            "broker restarted": self.broker.restart,
            "broker frozen": self._freeze,
            "worker killed": self._kill_worker,
            "settings read again": self._reload,
        }
        if os.path.ismount(self.disk):
            found["disk full"] = self._fill_disk
        return found

    def worker(self) -> int | None:
        """Process id of the inference worker, if it runs."""
        assert self.daemon.process
        return next(
            (
                pid
                for pid in children(self.daemon.process.pid)
                if b"inference.worker" in _read(pid, "cmdline")
            ),
            None,
        )

    def _freeze(self) -> None:
        self.broker.freeze()
        time.sleep(self.random.uniform(1, 8))
        self.broker.thaw()

    def _kill_worker(self) -> None:
        if (pid := self.worker()) is not None:
            os.kill(pid, signal.SIGKILL)

    def _reload(self) -> None:
        assert self.daemon.process
        self.daemon.process.send_signal(signal.SIGHUP)

    def _fill_disk(self) -> None:
        filler = fill(self.disk)
        time.sleep(self.random.uniform(3, 10))
        filler.unlink()


def _live(result: Soak, scene: Scene) -> None:
    """Feed, disturb and sample until the time is up, or the daemon ended."""
    stop = threading.Event()
    feeder = threading.Thread(target=feed, args=(result, scene.machines, stop), name="feeder")
    feeder.start()
    began = time.monotonic()
    next_event = min(FIRST_EVENT_S, result.seconds / 10)
    running: threading.Thread | None = None
    deck: list[tuple[str, Callable[[], None]]] = []
    try:
        while (now := time.monotonic() - began) < result.seconds:
            _sample(result, scene, now)
            if now >= next_event and (running is None or not running.is_alive()):
                if not deck:  # each once, in an order of its own, then all over
                    deck = sorted(scene.disturbances().items())
                    scene.random.shuffle(deck)
                what, act = deck.pop()
                result.events.append((round(now, 1), what))
                running = threading.Thread(target=act, name=what)
                running.start()
                pause = SHAKE_DOWN_S if now < 0.8 * WARM_UP * result.seconds else GAP_S
                next_event = now + pause * scene.random.uniform(0.5, 1.5)
            assert scene.daemon.process
            if scene.daemon.process.poll() is not None:
                return
            time.sleep(SAMPLE_S)
    finally:
        if running is not None:
            running.join(30)
        stop.set()
        feeder.join(30)


def feed(result: Soak, machines: Peer, stop: threading.Event, *, with_faults: bool = True) -> None:
    """Every machine runs well for a while, then has a fault, again and again; each its own."""
    faults = [Fault(name, onset_s=0, develop_s=60) for name in list(FaultName)[:MACHINES]]
    well = PumpLoop(1, [])
    healthy = [well.step(1.0) for _ in range(HEALTHY_ROWS)]
    loops = [PumpLoop(number + 2, [fault]) for number, fault in enumerate(faults)]
    faulty = [[loop.step(1.0) for _ in range(FAULTY_ROWS)] for loop in loops]
    acked = itertools.count(1)

    def count(*_: object) -> None:
        result.messages = next(acked)

    machines.client.on_publish = count
    row, began = 0, time.monotonic()
    while not stop.is_set():
        for number in range(MACHINES):
            # The machines fail one after the other, not all at once.
            turn = (row + number * FAULTY_ROWS) % (HEALTHY_ROWS + FAULTY_ROWS)
            late = turn - HEALTHY_ROWS
            sick = late >= 0 and with_faults
            values = faulty[number][late] if sick else healthy[turn % HEALTHY_ROWS]
            at = datetime.fromtimestamp(1.7e9 + row, UTC).isoformat()
            body = json.dumps({"timestamp": at, **values})
            machines.client.publish(f"plant/pump-{number}/telemetry", body, qos=1)
        row += 1
        while row * MACHINES - result.messages > IN_FLIGHT and not stop.wait(0.01):
            pass
        stop.wait(max(0.0, began + row / result.speed - time.monotonic()))


def _sample(result: Soak, scene: Scene, now: float) -> None:
    """One value for each series."""
    assert scene.daemon.process
    pid = scene.daemon.process.pid
    state = scene.disk / "state"
    worker = scene.worker()
    values = {
        "memory of the daemon, MB": _kilobytes(pid, "VmRSS") / 1000,
        "memory of the worker, MB": _kilobytes(worker, "VmRSS") / 1000 if worker else float("nan"),
        "descriptors": float(_count(pid, "fd")),
        "threads": float(_count(pid, "task")),
        "database, MB": _bytes(state / FILE_NAME) / 1e6,
        "write-ahead log, MB": _bytes(Path(f"{state / FILE_NAME}-wal")) / 1e6,
        "other files, MB": sum(
            _bytes(path)
            for path in state.rglob("*")
            if path.is_file() and path.name != "ballast" and not path.name.startswith(FILE_NAME)
        )
        / 1e6,
    }
    result.at.append(now)
    for name, value in values.items():
        result.series.setdefault(name, []).append(value)


def _settle(daemon: Daemon, hearer: Peer) -> str:
    """Let it come to rest and end in order; what was wrong with its end."""
    assert daemon.process
    if daemon.process.poll() is not None:
        return f"it ended by itself with {daemon.process.returncode}"
    heard = len(hearer.seen)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        time.sleep(6)
        health = [json.loads(body) for topic, body, _ in hearer.seen if topic.endswith("/health")]
        store = health[-1]["store"] if len(hearer.seen) > heard and health else {}
        jobs = store.get("jobs", {})
        if store and not jobs["queued"] and not jobs["running"] and store["outbox"]["waiting"] < 3:
            break
    code = daemon.terminate()
    return "" if code == 0 else f"it ended with {code}"


def judge(result: Soak, hearer: Peer, database: Path) -> None:
    """Compare what the store did with what the subscriber heard; plain SQL and payloads."""
    deadline = time.monotonic() + 10
    while not any(b'"offline"' in body for _, body, _ in hearer.seen[-5:]):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    states: dict[str, int] = {}
    diagnosed: set[str] = set()
    for topic, body, _ in hearer.seen:
        if "/incident/" in topic:
            document = json.loads(body)
            name = document["incident_id"]
            states[name] = max(states.get(name, -1), document["sequence"])
        elif "/diagnosis/" in topic:
            diagnosed.add(json.loads(body)["diagnosis_id"])
    raw = sqlite3.connect(database)
    kept = {
        name: sequence
        for name, sequence in raw.execute("SELECT incident_id, sequence FROM incidents")
        if not name.startswith("old-")
    }
    done = {
        row[0]
        for row in raw.execute(
            "SELECT id FROM jobs WHERE state IN ('done', 'quarantined', 'expired')"
            " AND incident_id NOT LIKE 'old-%'"
        )
    }
    sound = raw.execute("PRAGMA integrity_check").fetchone()[0]
    raw.close()
    result.incidents, result.diagnoses = len(states), len(diagnosed)
    result.lost = [f"state {n} of {name}" for name, n in kept.items() if states.get(name) != n]
    result.lost += [f"diagnosis {name}" for name in sorted(done - diagnosed)]
    if sound != "ok":
        result.lost.append(f"integrity_check says {sound}")


def verdicts(result: Soak) -> dict[str, Any]:
    """Of each series: mean, slope an hour with its error, and whether it is flat."""
    return {
        name: verdict(result.at, values)
        for name, values in result.series.items()
        if name != "memory of the worker, MB"  # a new process now and then: shown, not judged
    }


def verdict(at: list[float], values: list[float]) -> dict[str, Any]:
    """Least squares through the means of ``BLOCKS`` equal stretches after the warm-up. Flat: the
    slope is not above zero by more than its error (95 %), or its growth is negligible."""
    end = at[-1]
    start = end * WARM_UP
    width = (end - start) / BLOCKS
    points = []
    for number in range(BLOCKS):
        low = start + number * width
        inside = [v for t, v in zip(at, values, strict=True) if low <= t <= low + width]
        if inside:
            points.append((low + width / 2, sum(inside) / len(inside)))
    slope, error = line(points)
    mean = sum(value for _, value in points) / len(points)
    growth = slope * (end - start)
    flat = slope <= STUDENT * error or growth <= NEGLIGIBLE * abs(mean)
    return {
        "mean": round(mean, 3),
        "slope_per_hour": round(slope * 3600, 4),
        "error_per_hour": round(STUDENT * error * 3600, 4),
        "growth": round(growth, 4),
        "flat": bool(flat),
    }


def line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """(slope, its standard error) of the least-squares line."""
    count = len(points)
    if count < 3:
        return 0.0, float("inf")
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    return slope, (rest / (count - 2) / spread) ** 0.5


def report(result: Soak) -> dict[str, Any]:
    """What ``--json`` prints."""
    judged = verdicts(result)
    flat = all(one["flat"] for one in judged.values())
    return {
        "seed": result.seed,
        "hours": round(result.at[-1] / 3600, 3),
        "speed": result.speed,
        "machine_days": round(result.messages / 86_400, 2),
        "messages": result.messages,
        "incidents": result.incidents,
        "diagnoses": result.diagnoses,
        "disturbances": dict(Counter(what for _, what in result.events)),
        "lost": result.lost,
        "ended": result.ended,
        "series": judged,
        "flat": flat,
        "good": flat and not result.lost and not result.ended,
    }


def children(pid: int) -> list[int]:
    """Processes that ``pid`` started."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(word) for word in task.read_text().split()]
    return found


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _kilobytes(pid: int, key: str) -> float:
    for row in _read(pid, "status").decode().splitlines():
        if row.startswith(f"{key}:"):
            return float(row.split()[1]) * 1.024
    return float("nan")


def _count(pid: int, name: str) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/{name}").iterdir())
    except OSError:
        return 0


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
