"""The kill campaign on the whole daemon: it dies at seeded points while telemetry with faults,
commands and pushed settings come in; then an independent check compares what the broker took with
what was heard and what the store holds.

``python tests/daemon_campaign.py CONFIG`` is the process that the victims are forked from.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from brokers import Mosquitto
from campaign import Report, Zygote, breed, deaths
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from peer import Peer
from plant import Daemon, write_settings

from edge_agent import failpoints
from edge_agent.agent import Agent
from edge_agent.config.load import load_settings
from edge_agent.logs.setup import configure_logs
from edge_agent.store.database import FILE_NAME

PATIENCE_S = 2.0
MACHINES = ("pump-0", "pump-1")
LEARN_ROWS = 200
ROWS = 30
"""Rows from each machine in each life."""
FINAL = ("confirmed", "rolled_back", "rejected", "failed")


@dataclass
class Load:
    """What goes in, and what of it the broker acknowledged."""

    machine: Peer
    choose: random.Random
    row: int = 0
    commands: list[str] = field(default_factory=list)
    """Correlation data of every command."""
    revision: int = 0

    def some(self) -> None:
        """A few commands, rows of each machine, now and then other settings."""
        for _ in range(self.choose.randint(1, 3)):
            self.command(self.choose.choice(MACHINES))
        self.rows(ROWS)
        if self.choose.random() < 0.2:
            self.push()

    def command(self, equipment: str) -> None:
        name = f"c{len(self.commands)}"
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ResponseTopic = "answers/here"
        properties.CorrelationData = name.encode()
        # The id names it in the answers too; without the message's properties at hand there.
        body = json.dumps({"equipment": equipment, "id": name})
        info = self.machine.client.publish(
            "edge/gw1/cmd/diagnose", body, qos=1, properties=properties
        )
        info.wait_for_publish(20)
        self.commands.append(name)

    def rows(self, count: int) -> None:
        """Both machines; the flow of the first falls for a while, again and again."""
        for _ in range(count):
            self.row += 1
            for name in MACHINES:
                fallen = name == MACHINES[0] and self.row % 400 > 300
                flow = 10.0 + (self.row * 7 % 13) / 13 - (4.0 if fallen else 0.0)
                at = datetime.fromtimestamp(1.7e9 + self.row, UTC).isoformat()
                body = json.dumps({"timestamp": at, "flow": flow})
                self.machine.client.publish(f"plant/{name}/telemetry", body, qos=1)

    def push(self) -> None:
        self.revision += 1
        live: dict[str, Any] = {"health": {"interval_s": 1 + self.revision % 5}}
        restarting = {**live, "mqtt": {"keepalive_s": 20 + self.revision % 9}}
        patch = restarting if self.choose.random() < 0.3 else live
        document = {"kind": "config", "agent": "gw1", "revision": self.revision, "patch": patch}
        topic = "edge/gw1/config/desired"
        self.machine.say(topic, json.dumps(document).encode(), retain=True)


def campaign(
    seed: int, kills: int, progress: Callable[[Report], None] = lambda _report: None
) -> Report:
    """Run ``kills`` deaths and check; the broker is restarted in order now and then."""
    report, began = Report(seed), time.monotonic()
    lines = ["max_queued_messages 0", "max_inflight_messages 100", "autosave_interval 0"]
    with tempfile.TemporaryDirectory() as name, Mosquitto(lines) as broker:
        config = write_settings(
            Path(name),
            broker.port,
            detect={"learn_rows": LEARN_ROWS, "snapshot_s": 5},
            rollout={"probation_s": 1},
            inference={"model": f"{name}/no.gguf", "fallbacks": []},
            log={"level": "warning"},
        )
        with Peer(broker.port, "machine") as machine, Peer(broker.port, "hearer") as hearer:
            hearer.listen("edge/gw1/#", "answers/#")
            load = Load(machine, random.Random(seed + 1))
            _learn(config, load, hearer)
            zygote = Zygote(Path(__file__), str(config))
            for death in deaths(seed, PATIENCE_S):
                if report.kills == kills:
                    break
                if load.choose.random() < 0.03:
                    broker.restart()
                    _wait(lambda: machine.client.is_connected() and hearer.client.is_connected())
                    report.broker_restarts += 1
                load.some()
                report.by_point[zygote.run(death)] += 1
                report.kills += 1
                progress(report)
            zygote.close()
            load.push()
            _settle(config, load, hearer)
            judge(report, load, hearer, Path(name) / "state" / FILE_NAME)
    report.seconds = time.monotonic() - began
    return report


def _learn(config: Path, load: Load, hearer: Peer) -> None:
    """One orderly life, so that the machines are known and the broker keeps our session."""
    with Daemon(config) as daemon:
        _wait(lambda: hearer.payloads("edge/gw1/status"))
        load.rows(LEARN_ROWS + 50)
        wanted = (LEARN_ROWS + 50) * len(MACHINES)
        _wait(lambda: _health(hearer, "intake", "readings") >= wanted)
        daemon.terminate()


def _settle(config: Path, load: Load, hearer: Peer) -> None:
    """One more life, undisturbed, until everything is out."""

    def done() -> bool:
        answered = {one["id"] for one in answers(hearer)}
        reports = [json.loads(body) for body in hearer.payloads("edge/gw1/config/reported")]
        last = reports[-1] if reports else {"revision": 0, "final": False}
        return (
            answered >= set(load.commands)
            and len(by_command(hearer)) >= len(load.commands)
            and last["revision"] == load.revision
            and bool(last["final"])
        )

    with Daemon(config) as daemon:
        _wait(done, 90)
        daemon.terminate()
    _wait(lambda: b'"offline"' in hearer.payloads("edge/gw1/status")[-1], 10)


def answers(hearer: Peer) -> list[dict[str, Any]]:
    """The direct answers to commands, repetitions included."""
    found = [json.loads(body) for body in hearer.payloads("answers/here")]
    return [one for one in found if "command" in one]


def by_command(hearer: Peer) -> dict[str, set[str]]:
    """Diagnosis id → the bodies that came for it on the response topic."""
    found: dict[str, set[str]] = defaultdict(set)
    for body in hearer.payloads("answers/here"):
        document = json.loads(body)
        if "verdict" in document:
            found[document["diagnosis_id"]].add(json.dumps(document, sort_keys=True))
    return found


def judge(report: Report, load: Load, hearer: Peer, database: Path) -> None:
    """The check. It knows nothing of the agent's own code: payloads heard, and plain SQL."""
    report.accepted = len(load.commands) + load.row * len(MACHINES) + load.revision
    asked: dict[str, set[str]] = defaultdict(set)
    for answer in answers(hearer):
        if answer["ok"]:
            asked[answer["id"]].add(answer["result"]["diagnosis_id"])
    replies = by_command(hearer)
    for name in load.commands:
        ids = asked.get(name, set())
        if not ids:
            report.lost.append(f"answer to {name}")
        report.invented += [f"{len(ids)} jobs for {name}"] if len(ids) > 1 else []
        report.lost += [f"diagnosis for {name}" for one in ids if one not in replies]
    report.invented += [f"{one} said in two ways" for one, said in replies.items() if len(said) > 1]
    _judge_messages(report, hearer, replies)
    _judge_store(report, load, hearer, database)


def _judge_messages(report: Report, hearer: Peer, replies: dict[str, set[str]]) -> None:
    """Every message is said in one way only, and a reply also on the machine's own topic."""
    diagnoses: dict[str, set[bytes]] = defaultdict(set)
    states: dict[tuple[str, int], set[bytes]] = defaultdict(set)
    came = 0
    for body in hearer.payloads("edge/gw1/diagnosis"):
        diagnoses[json.loads(body)["diagnosis_id"]].add(body)
        came += 1
    for body in hearer.payloads("edge/gw1/incident"):
        document = json.loads(body)
        states[document["incident_id"], document["sequence"]].add(body)
        came += 1
    report.diagnoses, report.incidents = len(diagnoses), len({name for name, _ in states})
    report.duplicates = came - len(diagnoses) - len(states)
    for found in (diagnoses, states):
        report.invented += [
            f"{key} said in two ways" for key, said in found.items() if len(said) > 1
        ]
    report.lost += [f"diagnosis {one} on its topic" for one in replies if one not in diagnoses]


def _judge_store(report: Report, load: Load, hearer: Peer, database: Path) -> None:
    heard = {json.loads(body)["diagnosis_id"] for body in hearer.payloads("edge/gw1/diagnosis")}
    states = {
        (document["incident_id"], document["sequence"])
        for document in map(json.loads, hearer.payloads("edge/gw1/incident"))
    }
    raw = sqlite3.connect(database)
    finished = "SELECT id FROM jobs WHERE state IN ('done', 'quarantined', 'expired')"
    report.lost += [f"diagnosis {one}" for (one,) in raw.execute(finished) if one not in heard]
    kept = raw.execute("SELECT incident_id, sequence FROM incidents")
    report.lost += [f"state {n} of {one}" for one, n in kept if (one, n) not in states]
    checks = {
        "PRAGMA integrity_check": "ok",
        "SELECT count(*) FROM outbox WHERE priority = 0": 0,
        "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')": 0,
        "SELECT count(*) FROM (SELECT equipment FROM incidents WHERE closed_at IS NULL"
        " GROUP BY equipment HAVING count(*) > 1)": 0,
        "SELECT json_extract(document, '$.highest') FROM generations WHERE kind = 'config'"
        " ORDER BY version DESC LIMIT 1": load.revision,
    }
    for query, expected in checks.items():
        found = raw.execute(query).fetchone()[0]
        if found != expected:
            report.store.append(f"{query}: {found}, not {expected}")
    raw.close()
    last = json.loads(hearer.payloads("edge/gw1/config/reported")[-1])
    if (last["state"], last["revision"]) != ("confirmed", load.revision):
        report.store.append(f"settings end {last['state']} at {last['revision']}: {last['reason']}")


def live(config: Path, failpoint: str | None) -> None:
    """A victim: the daemon until it dies."""
    failpoints.arm(failpoint)
    configure_logs(load_settings(config).log)
    while True:
        with Agent.from_file(config) as agent:
            agent.run(threading.Event(), threading.Event())


def _health(hearer: Peer, section: str, key: str) -> int:
    heard = hearer.payloads("edge/gw1/health")
    return int(json.loads(heard[-1])[section][key]) if heard else 0


def _wait(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


if __name__ == "__main__":
    breed(partial(live, Path(sys.argv[1])))
