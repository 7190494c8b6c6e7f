"""Several agents split one plant: by the machines' names, or by the broker's shared groups."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Mosquitto, wait_until
from hypothesis import given
from hypothesis import strategies as st
from plant import Client, Daemon, write_settings
from pydantic import ValidationError

from edge_agent.config.telemetry import SourceSection, TelemetrySection
from edge_agent.decode.decoder import Decoder
from edge_agent.decode.part import Part
from edge_agent.domain.telemetry import Message

AGENTS = ("one", "two")
MACHINES = [f"m{number}" for number in range(6)]
NORMAL, FAULTY = 160, 80


def test_each_machine_is_in_one_part_and_the_parts_are_alike() -> None:
    names = [f"line-{number % 9}.machine-{number}" for number in range(3_000)]
    parts = [Part(number, 3) for number in (1, 2, 3)]
    held = [sum(part.holds(name) for part in parts) for name in names]
    assert set(held) == {1}
    sizes = [sum(map(part.holds, names)) for part in parts]
    assert max(sizes) - min(sizes) < 200


@given(st.text(min_size=1, max_size=40), st.integers(1, 8))
def test_one_part_more_moves_machines_to_it_and_nowhere_else(name: str, of: int) -> None:
    before = [Part(number, of).holds(name) for number in range(1, of + 1)]
    after = [Part(number, of + 1).holds(name) for number in range(1, of + 2)]
    assert sum(before) == sum(after) == 1
    assert after[-1] or after[:-1] == before


@pytest.mark.parametrize("part", ["0/2", "3/2", "2", "1/2/3", "a/b", "-1/2", ""])
def test_no_part(part: str) -> None:
    with pytest.raises(ValidationError):
        TelemetrySection(share_part=part)


def test_a_plant_is_split_one_way_only() -> None:
    with pytest.raises(ValidationError, match="set one"):
        TelemetrySection(share_part="1/2", share_group="hall")


@pytest.mark.parametrize(
    ("source", "messages"),
    [
        (
            SourceSection(topic="plant/{equipment}/{signal}", format="plain"),
            [(f"plant/m{number % 20}/s{number % 3}", b"1.5") for number in range(60)],
        ),
        (
            SourceSection(topic="plant/all", equipment_from="machine"),
            [("plant/all", b'{"machine": "m%d", "flow": 1.5}' % number) for number in range(20)],
        ),
        (
            SourceSection(topic="plant/all", equipment_from="machine"),
            [("plant/all", b'[{"machine": "a", "v": 1}, {"machine": "b", "v": 1}]')] * 2,
        ),
    ],
)
def test_every_reading_is_taken_by_one_part(
    source: SourceSection, messages: list[tuple[str, bytes]]
) -> None:
    def taken(part: str | None = None) -> Counter[tuple[str, str]]:
        decoder = Decoder(TelemetrySection(sources=(source,), share_part=part), "edge")
        readings = [
            (one.equipment, one.signal)
            for number, (topic, payload) in enumerate(messages)
            for one in decoder.decode(Message(topic, payload, 1.7e9 + number))
        ]
        if part:
            assert decoder.counts.elsewhere > 0
        return Counter(readings)

    parts = [taken(f"{number}/3") for number in (1, 2, 3)]
    assert parts[0] + parts[1] + parts[2] == taken()


def test_a_sparkplug_node_stays_whole() -> None:
    source = SourceSection(topic="spBv1.0/#", format="sparkplug")
    for number in (1, 2):
        decoder = Decoder(TelemetrySection(sources=(source,), share_part=f"{number}/2"), "edge")
        for node in range(20):
            lanes = {
                decoder.lane_of(f"spBv1.0/plant/{kind}")
                for kind in (f"NDATA/n{node}", f"DDATA/n{node}/pump", f"DBIRTH/n{node}/fan")
            }
            assert lanes == {f"plant/n{node}"}


def taken_by(client: Client, agent: str) -> int:
    reports = client.on(f"edge/{agent}/health")
    return int(reports[-1].json["intake"]["messages"]) if reports else 0


def ready(client: Client) -> None:
    """Both agents run, and have had the time to subscribe."""
    for agent in AGENTS:
        client.wait_for(f"edge/{agent}/health", lambda heard: heard.json["mqtt"]["connected"])


@pytest.fixture
def everything(broker: Mosquitto) -> Iterator[Client]:
    with Client(broker.port, "edge/#") as client:
        yield client


def settings(folder: Path, port: int, agent: str, **telemetry: object) -> Path:
    """An agent of its own whose model cannot be loaded: only incidents matter here."""
    folder = folder / agent
    folder.mkdir()
    (folder / "model.gguf").write_bytes(b"no model")
    return write_settings(
        folder,
        port,
        agent={"id": agent},
        telemetry=dict(telemetry),
        detect={"learn_rows": 100, "snapshot_s": 5},
        inference={"model": str(folder / "model.gguf")},
        health={"interval_s": 1},
    )


def rows(machine: str, count: int, shift: float) -> list[dict[str, float]]:
    noise = random.Random(machine)
    return [
        {"flow": noise.gauss(10 + shift, 0.2), "load": noise.gauss(5, 0.1)} for _ in range(count)
    ]


def learned_by(config: Path) -> dict[str, float]:
    """Machine → when what was learned of it was last kept."""
    database = config.parent / "state" / "edge-agent.db"
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        rows = opened.execute("SELECT name, saved_at FROM snapshots WHERE kind = 'baseline'")
        return dict(rows.fetchall())


def test_agents_with_a_part_each_lose_nothing_and_open_no_incident_twice(
    broker: Mosquitto, everything: Client, tmp_path: Path
) -> None:
    """Also while one of them is dead: the broker keeps its machines' messages for it."""
    configs = [
        settings(tmp_path, broker.port, agent, share_part=f"{number}/2")
        for number, agent in enumerate(AGENTS, 1)
    ]
    own = {agent: {m for m in MACHINES if Part(n, 2).holds(m)} for n, agent in enumerate(AGENTS, 1)}
    assert all(own.values()), "choose other names: one agent has no machine"
    with Daemon(configs[0]) as first, Daemon(configs[1]) as second:
        ready(everything)
        starts = {m: everything.stream(m, rows(m, NORMAL, 0.0)) for m in MACHINES}
        heard = NORMAL * len(MACHINES)
        wait_until(lambda: [taken_by(everything, agent) for agent in AGENTS] == [heard] * 2, 30)
        taken = time.time()
        # One row more, so that what was learned is kept once more.
        starts = {m: everything.stream(m, rows(m, 1, 0.0), start=at) for m, at in starts.items()}
        wait_until(
            lambda: {m for m, at in learned_by(configs[1]).items() if at > taken} == own["two"], 30
        )
        second.kill()
        for machine, start in starts.items():
            everything.stream(machine, rows(machine, FAULTY, 4.0), start=start)
        for machine in own["one"]:
            everything.wait_for(f"edge/one/incident/{machine}")
        second.start()
        for machine in own["two"]:
            everything.wait_for(f"edge/two/incident/{machine}")
        assert first.terminate() == 0
        assert second.terminate() == 0
    opened = Counter(
        (heard.topic.split("/")[1], heard.json["equipment"])
        for heard in everything.on("edge/+/incident/+")
        if heard.json["phase"] == "opened"
    )
    assert opened == Counter((agent, machine) for agent in AGENTS for machine in own[agent])


def test_a_shared_group_takes_every_message_once(
    broker: Mosquitto, everything: Client, tmp_path: Path
) -> None:
    """Which member takes which message is the broker's choice: with mosquitto, in turn."""
    messages = 400
    configs = [settings(tmp_path, broker.port, agent, share_group="hall") for agent in AGENTS]
    with Daemon(configs[0]) as first, Daemon(configs[1]) as second:
        ready(everything)
        for number in range(messages):
            everything.say(f"plant/m{number % 7}/telemetry", {"flow": float(number)})
        wait_until(lambda: sum(taken_by(everything, a) for a in AGENTS) == messages, 30)
        assert min(taken_by(everything, agent) for agent in AGENTS) > 0
        assert first.terminate() == 0
        assert second.terminate() == 0
