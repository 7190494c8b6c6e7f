"""``bench ingest``: how many messages a second the daemon takes in, and at what cost.

A real mosquitto on loopback, a publishing process of its own, and the receiver under measurement
pinned to one processor. The rate is raised until the receiver sheds or falls behind, then narrowed
down; what is reported is the highest rate that it kept up with, and the cost at that rate.

What more signals cost is told by two runs, each at its own highest rate. There messages wait, and a
batch holds a few of each machine: the harder case. At equal low rates the work that a clock causes
(a report each second) is shared by few messages and hides the difference.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from edge_agent.bench.process import Measured
from edge_agent.bench.receivers import Load, Receiver, daemon, node_red, paho_callback
from edge_agent.errors import Unavailable

log = structlog.get_logger(__name__)

WARM_ROWS = 40
"""Values of each signal before anything is measured: detection learns 30, then watches."""
FEW = 10
"""Signals of the first stream, which makes the receiver load and build what all signals share."""
WARM_RATE = 3_000.0
FIRST_RATE = 3_000.0
FASTEST = 200_000.0
NARROW = 1.08
"""The highest rate kept and the lowest one failed differ by less than this factor in the end."""
LAG_S = 1.5
"""A receiver keeps up if it has everything within this time of the last message sent; the daemon
says once a second how far it is."""
WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    messages: int
    signals: int
    qos: int
    node_red: str | None
    """Path of Node-RED's ``red.js``; None leaves that peer out."""
    step_s: float = 8.0
    """Each rate is held at least this long, seconds."""


@dataclass(frozen=True, slots=True)
class Step:
    """One rate: what was taken in a second until the last message, whether that kept up with the
    publisher, and at what cost (CPU seconds per 100,000 messages)."""

    rate: float
    kept: bool
    shed: int
    cpu_per_100k: float
    resident_mb: float
    proportional_mb: float


def measure(plan: Plan) -> dict[str, Any]:
    """Run everything; the document that ``bench ingest --json`` prints."""
    report = _one(plan, daemon)
    peers: dict[str, Any] = {"paho_callback": _one(plan, paho_callback)}
    if plan.node_red is not None:
        red = plan.node_red
        peers["node_red"] = _one(plan, lambda folder, load: node_red(folder, load, red))
    return {
        **report,
        "messages": plan.messages,
        "signals": plan.signals,
        "qos": plan.qos,
        "cpu_ratio_to_paho": _ratio(report, peers["paho_callback"]),
        "load_average": round(os.getloadavg()[0], 2),
        "processors": os.cpu_count(),
        "peers": peers,
    }


def _ratio(report: dict[str, Any], peer: dict[str, Any]) -> float | None:
    other = peer["cpu_seconds_per_100k"]
    own = report["cpu_seconds_per_100k"]
    return round(own / other, 2) if own and other else None


def _one(plan: Plan, start: Callable[[Path, Load], Receiver]) -> dict[str, Any]:
    """One receiver on a broker of its own."""
    with tempfile.TemporaryDirectory(prefix="edge-agent-bench-") as text:
        folder = Path(text)
        own, others = _processors()
        with _mosquitto(folder, others) as port:
            receiver = start(folder, Load(port, plan.qos, plan.signals, own))
            try:
                return _figures(plan, Bench(receiver, port, plan, others))
            finally:
                receiver.measured.stop()


class Bench:
    """A receiver, a broker, and streams sent through it."""

    def __init__(self, receiver: Receiver, port: int, plan: Plan, cpus: set[int]) -> None:
        self._receiver = receiver
        self._port = port
        self._plan = plan
        self._cpus = cpus
        self._start = 1.75e9

    def run(self, messages: int, rate: float, signals: int | None = None) -> Step:
        """Send ``messages`` at ``rate``, round ``signals`` (all of the plan's), and wait until the
        receiver has them, or will not."""
        measured = self._receiver.measured
        before = self._receiver.progress()
        cpu = measured.cpu_s()
        messages = max(messages, int(rate * self._plan.step_s))
        sent_s = self._send(messages, rate, signals or self._plan.signals)
        ended = time.time()
        resident = measured.resident_mb()
        now = before
        while now.messages + now.shed - before.messages - before.shed < messages:
            if time.time() > max(now.at, ended) + WAIT_S:
                break
            time.sleep(0.05)
            now = self._receiver.progress()
            resident = max(resident, measured.resident_mb())
        shed = messages - (now.messages - before.messages)
        lag = max(0.0, now.at - ended)
        step = Step(
            rate=messages / (sent_s + lag),
            kept=shed == 0 and lag <= LAG_S and messages / sent_s >= rate * 0.9,
            shed=shed,
            cpu_per_100k=(measured.cpu_s() - cpu) / messages * 1e5,
            resident_mb=resident,
            proportional_mb=measured.proportional_mb(),
        )
        log.info("rate_tried", receiver=measured.name, wanted=round(rate), **asdict(step))
        return step

    def _send(self, messages: int, rate: float, signals: int) -> float:
        command = [sys.executable, "-m", "edge_agent.bench.flood"]
        for name, value in (
            ("port", self._port),
            ("messages", messages),
            ("signals", signals),
            ("qos", self._plan.qos),
            ("rate", rate),
            ("start", self._start),
        ):
            command += [f"--{name}", str(value)]
        self._start += messages // signals + 1
        done = subprocess.run(
            ["taskset", "-c", ",".join(map(str, sorted(self._cpus))), *command]
            if shutil.which("taskset")
            else command,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"the publisher failed: {done.stderr.strip()[-500:]}")
        return float(json.loads(done.stdout)["seconds"])


def _figures(plan: Plan, bench: Bench) -> dict[str, Any]:
    first = bench.run(WARM_ROWS * FEW, WARM_RATE, FEW)
    warm = bench.run(WARM_ROWS * plan.signals, WARM_RATE)
    best = _highest(plan, bench)
    if best is None:
        return {"messages_per_second": 0, "cpu_seconds_per_100k": None, "shed": warm.shed}
    return {
        "messages_per_second": round(best.rate),
        "cpu_seconds_per_100k": round(best.cpu_per_100k, 3),
        "resident_mb": round(best.resident_mb, 1),
        "proportional_mb": round(best.proportional_mb, 1),
        "bytes_per_signal": _per_signal(first, warm, plan.signals - FEW),
        "messages_per_cpu_second": round(1e5 / best.cpu_per_100k),
        "shed": best.shed,
    }


def _per_signal(few: Step, all_of_them: Step, more: int) -> int | None:
    """What each further signal took, bytes: the first few pay for what all share."""
    return round((all_of_them.resident_mb - few.resident_mb) * 1e6 / more) if more else None


def _highest(plan: Plan, bench: Bench) -> Step | None:
    """The fastest step that was kept up with: doubled until one fails, then narrowed down."""
    kept: Step | None = None
    rate, failed = FIRST_RATE, FASTEST
    while rate < FASTEST:
        step = bench.run(plan.messages, rate)
        if step.kept:
            kept = step
        else:
            failed = rate
        if kept is None and rate < FIRST_RATE / 4:
            return None
        low = kept.rate if kept else rate / 4
        if failed == FASTEST:
            rate *= 1.6
        elif failed / low <= NARROW:
            return kept
        else:
            rate = (low * failed) ** 0.5
    return kept


def _processors() -> tuple[set[int], set[int]]:
    """One processor for the receiver, the others for broker and publisher."""
    available = sorted(os.sched_getaffinity(0))
    return {available[-1]}, set(available[:-1]) or set(available)


@contextmanager
def _mosquitto(folder: Path, cpus: set[int]) -> Iterator[int]:
    """A mosquitto that queues without bound, so that nothing is lost before the receiver."""
    import socket

    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/sbin")
    if found is None:
        raise Unavailable("mosquitto is not installed: apt-get install mosquitto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
        "max_queued_messages 0\nset_tcp_nodelay true\n",
        encoding="utf-8",
    )
    measured = Measured("mosquitto", [found, "-c", str(config)], folder / "broker.log", cpus=cpus)
    try:
        deadline = time.monotonic() + 15
        while True:
            measured.check()
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise Unavailable("mosquitto did not open its port") from None
                time.sleep(0.02)
        yield port
    finally:
        measured.stop()
