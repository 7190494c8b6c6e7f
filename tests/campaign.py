"""The kill campaign: a station under load dies at seeded points, again and again; then an
independent check compares what the broker took with what its subscribers got and the store holds.

The victims are forked from a process that has imported everything, so that a death costs
milliseconds. ``python tests/campaign.py FOLDER PORT`` is that process; it reads orders from stdin.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from brokers import Mosquitto
from peer import Peer
from station import IN, OUT, ROOT, Station

from edge_agent import failpoints
from edge_agent.store.database import FILE_NAME

POINTS = ("begin", "commit", "committed", "received", "ack", "acked", "publish", "puback")
PATIENCE_S = 0.5
"""A victim that does not come to its point within this time is killed by the clock instead."""
KEPT_ROWS = 1_000
OK, EMPTY = "ok", 0


@dataclass
class Report:
    """What a campaign did and what its check found."""

    seed: int
    kills: int = 0
    by_point: Counter[str] = field(default_factory=Counter)
    broker_restarts: int = 0
    accepted: int = 0
    """Messages that the broker acknowledged to the machine."""
    incidents: int = 0
    diagnoses: int = 0
    """Distinct results that the subscriber got."""
    duplicates: int = 0
    """Results that came more than once, before deduplication."""
    lost: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    store: list[str] = field(default_factory=list)
    """What is wrong in the database."""
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Nothing lost, nothing invented, the store sound."""
        return not (self.lost or self.invented or self.store)


@dataclass(frozen=True)
class Death:
    """How the next victim dies: at the ``count``-th passing of ``point``, or after ``seconds``."""

    point: str
    count: int
    seconds: float


def deaths(seed: int, patience_s: float = PATIENCE_S) -> Iterator[Death]:
    """Endless, the same for the same seed."""
    choose = random.Random(seed)
    while True:
        way = choose.random()
        if way < 0.6:
            yield Death(choose.choice(POINTS), choose.randint(1, 12), patience_s)
        elif way < 0.85:
            yield Death("any", int(2 ** choose.uniform(0, 7.5)), patience_s)
        else:
            yield Death("", 0, choose.uniform(0.0, 0.8 * patience_s))


def campaign(
    seed: int, kills: int, progress: Callable[[Report], None] = lambda _report: None
) -> Report:
    """Run ``kills`` deaths and check; the broker is restarted in order now and then."""
    report, began = Report(seed), time.monotonic()
    choose = random.Random(seed + 1)
    with tempfile.TemporaryDirectory() as name, Mosquitto(BROKER) as broker:
        folder = Path(name)
        with Peer(broker.port, "machine") as machine, Peer(broker.port, "subscriber") as hearer:
            hearer.listen(f"{ROOT}/#")
            zygote = Zygote(Path(__file__), str(folder), str(broker.port))
            zygote.run(Death("", 0, 1.0))  # the first one makes the session at the broker
            sent = 0
            for death in deaths(seed):
                if report.kills == kills:
                    break
                if choose.random() < 0.01:
                    broker.restart()
                    _wait(lambda: machine.client.is_connected() and hearer.client.is_connected())
                    report.broker_restarts += 1
                batch = choose.randint(1, 6)
                machine.say(IN, *[f"n{n}".encode() for n in range(sent, sent + batch)])
                sent += batch
                report.by_point[zygote.run(death)] += 1
                report.kills += 1
                progress(report)
            zygote.close()
            settle(folder, broker.port, hearer, sent)
            judge(report, hearer, folder / FILE_NAME, {f"n{n}" for n in range(sent)})
    report.seconds = time.monotonic() - began
    return report


BROKER = ["max_queued_messages 0", "max_inflight_messages 100", "autosave_interval 0"]


def settle(folder: Path, port: int, hearer: Peer, sent: int) -> None:
    """One more life, undisturbed, until everything is out."""
    station = Station(folder, port).start()

    def done() -> bool:
        heard = [set(hearer.payloads(topic)) for topic in (OUT, f"{ROOT}/diagnosis")]
        return station.waiting() == EMPTY and all(len(found) >= sent for found in heard)

    deadline = time.monotonic() + 60
    while not done() and time.monotonic() < deadline:
        time.sleep(0.05)
    station.close()


def judge(report: Report, hearer: Peer, database: Path, accepted: set[str]) -> None:
    """The check. It knows nothing of the agent's own code: payloads heard, and plain SQL."""
    report.accepted = len(accepted)
    heard = [payload.decode() for payload in hearer.payloads(OUT)]
    judged = [payload.decode() for payload in hearer.payloads(f"{ROOT}/diagnosis")]
    report.incidents, report.diagnoses = len(set(heard)), len(set(judged))
    report.duplicates = len(heard) + len(judged) - report.incidents - report.diagnoses
    report.lost = sorted(
        [f"incident of {name}" for name in accepted - set(heard)]
        + [f"diagnosis of {name}" for name in accepted - set(judged)]
    )
    report.invented = sorted((set(heard) | set(judged)) - accepted)
    raw = sqlite3.connect(database)
    checks = {
        "PRAGMA integrity_check": OK,
        "SELECT count(*) FROM outbox": EMPTY,
        "SELECT count(*) FROM jobs WHERE state <> 'done'": EMPTY,
        "SELECT count(*) - count(DISTINCT incident_id) FROM jobs": EMPTY,
        "SELECT count(*) FROM jobs WHERE attempts < 1": EMPTY,
    }
    for query, expected in checks.items():
        found = raw.execute(query).fetchone()[0]
        if found != expected:
            report.store.append(f"{query}: {found}, not {expected}")
    raw.close()


class Zygote:
    """The process that forks the victims: ``script``, which calls ``breed``."""

    def __init__(self, script: Path, *arguments: str) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )

    def run(self, death: Death) -> str:
        """One victim's life; returns the point where it died, or ``clock``."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([death.point, death.count, death.seconds]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer or answer.startswith("exit"):
            raise RuntimeError(f"a victim ended by itself: {answer or 'no answer'}")
        return answer

    def close(self) -> None:
        self._process.communicate()


def breed(live: Callable[[str | None], None]) -> None:
    """The zygote's loop: an order in, a victim forked, its end out. ``live`` is a victim's life
    with its failpoint; it does not return."""
    for line in sys.stdin:
        point, count, seconds = json.loads(line)
        pid = os.fork()
        if pid == 0:
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, 1)
            live(f"{point}:{count}" if point else None)
            os._exit(8)
        handle = os.pidfd_open(pid)
        by_clock = not select.select([handle], [], [], seconds)[0]
        if by_clock:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os.close(handle)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        text = "clock" if by_clock else point
        sys.stdout.write((text if killed else f"exit {status}") + "\n")
        sys.stdout.flush()


def live(folder: Path, port: int, failpoint: str | None) -> None:
    """A victim: a station until it dies."""
    failpoints.arm(failpoint)
    station = Station(folder, port)
    station.store.jobs.prune(KEPT_ROWS)
    station.store.incidents.prune(KEPT_ROWS)
    station.start()
    while True:
        time.sleep(1)
        if station.store.alarms:
            os._exit(9)  # nothing here may damage the file


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


if __name__ == "__main__":
    breed(partial(live, Path(sys.argv[1]), int(sys.argv[2])))
