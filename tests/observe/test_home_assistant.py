"""Home Assistant discovery: the real daemon against a real broker, and the reconciliation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from brokers import Mosquitto, wait_until
from findings import finding
from plant import Client, Daemon, write_settings

from edge_agent.config.observe import HomeAssistantSection
from edge_agent.config.settings import StoreSection
from edge_agent.domain.finding import IncidentPhase
from edge_agent.domain.outgoing import Outgoing
from edge_agent.errors import Unavailable
from edge_agent.observe.announcer import EVERY_S, Announcer, Memory
from edge_agent.observe.home_assistant import Gateway, Picture, machine_topic, slug
from edge_agent.simulate.faults import Fault, FaultName
from edge_agent.simulate.pump import PumpLoop
from edge_agent.store.database import Store

GATEWAY = Gateway("gw1", "edge/gw1", "homeassistant")
INCIDENT = "homeassistant/binary_sensor/edge_agent_gw1_simulated-pump_incident/config"


def retained_now(port: int, topic: str) -> dict[str, dict[str, Any]]:
    """What a newcomer, such as a restarted Home Assistant, receives."""
    with Client(port, topic, "end/of/retained") as client:
        client.say("end/of/retained", "x")
        client.wait_for("end/of/retained")
        return {one.topic: one.json for one in client.on(topic) if one.retained and one.payload}


def template(document: dict[str, Any], entity: dict[str, Any]) -> str:
    """``{{ value_json.a.b }}``: the subset of the template language that our entities use."""
    node: Any = document
    for word in entity["value_template"].strip("{} ").removeprefix("value_json.").split("."):
        node = node[word]
    return str(node)


def test_devices_come_follow_the_machine_and_go(broker: Mosquitto, tmp_path: Path) -> None:
    home = {"home_assistant": {"enabled": True}}
    sections: dict[str, dict[str, Any]] = {
        "diagnose": {"settle_s": 1},
        "inference": {"model": "absent", "fallbacks": []},
    }
    config = write_settings(tmp_path, broker.port, observe=home, **sections)
    loop = PumpLoop(7, [Fault(FaultName.OUTLET_VALVE_CLOSING, onset_s=300, develop_s=60)])
    rows = [loop.step(1.0) for _ in range(480)]
    with Daemon(config) as daemon, Client(broker.port, "edge/#", "homeassistant/#") as client:
        client.wait_for("edge/gw1/status")
        client.stream("simulated-pump", rows)
        own = machine_topic(GATEWAY, "simulated-pump")
        client.wait_for(own, lambda one: one.json["diagnosis"] not in ("none", ""))
        entities = retained_now(broker.port, "homeassistant/#")
        incident = entities[INCIDENT]
        state = retained_now(broker.port, incident["state_topic"])[own]
        assert template(state, incident) == "ON"
        assert "discharge" in json.dumps(state).lower()
        availability = retained_now(broker.port, incident["availability_topic"])["edge/gw1/status"]
        assert availability["state"] == incident["payload_available"]
        level = entities["homeassistant/sensor/edge_agent_gw1_level/config"]
        health = client.wait_for("edge/gw1/health").json
        assert template(health, level) in level["options"]
        assert len(entities) == 9
        assert daemon.terminate() == 0
    # Another run finds the machine and its diagnosis again, then it is switched off.
    before = retained_now(broker.port, "edge/gw1/machine/#")
    with Daemon(config) as daemon, Client(broker.port, "edge/#") as client:
        client.wait_for("edge/gw1/health")
        client.wait_for(own)
        assert retained_now(broker.port, "edge/gw1/machine/#") == before
        assert daemon.terminate() == 0
    write_settings(tmp_path, broker.port, **sections)
    with Daemon(config) as daemon:
        wait_until(lambda: not retained_now(broker.port, "homeassistant/#"), 30)
        wait_until(lambda: not retained_now(broker.port, "edge/gw1/machine/#"), 30)
        assert daemon.terminate() == 0


class Bench:
    """An announcer on a real store; ``seen`` is what the broker would hold."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.open(folder, StoreSection(state_dir=folder, ballast_mb=0))
        self.states: dict[str, str] = {}
        self.losses = 0
        self.sent: list[Outgoing] = []
        self.now = 0.0
        self.fail = False

    def announcer(self, max_equipment: int = 200) -> Announcer:
        memory = Memory(
            transaction=self.store.transaction,
            load_topics=lambda: self.store.generations.load("t"),
            save_topics=lambda data: self.store.generations.save("t", data),
            load_pictures=lambda: self.store.snapshots.all("t"),
            save_pictures=lambda found: self.store.snapshots.put_all("t", found),
            send=self.send,
        )
        section = HomeAssistantSection(enabled=True, max_equipment=max_equipment)
        return Announcer(section, GATEWAY, memory, lambda: self.states, lambda: self.losses)

    def send(self, *messages: Outgoing) -> None:
        if self.fail:
            raise Unavailable("disk full")
        self.sent += messages

    def turn(self, announcer: Announcer) -> list[Outgoing]:
        self.sent.clear()
        self.now += EVERY_S
        announcer.tick(self.now)
        return list(self.sent)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.close()


def test_only_differences_are_sent_and_the_gone_are_cleared(bench: Bench) -> None:
    announcer = bench.announcer()
    bench.states = {"a": "learning", "b": "quiet"}
    first = bench.turn(announcer)
    assert len(first) == 6 + 2 * 4
    assert all(one.retain for one in first)
    assert bench.turn(announcer) == []
    bench.states["a"] = "quiet"
    assert [one.topic for one in bench.turn(announcer)] == ["edge/gw1/machine/a"]
    del bench.states["b"]
    cleared = bench.turn(announcer)
    assert len(cleared) == 4
    assert {one.payload for one in cleared} == {b""}
    bench.losses = 1
    assert len(bench.turn(announcer)) == 6 + 4


def test_each_entity_proposes_its_own_id_and_names_a_device(bench: Bench) -> None:
    bench.states = {"Pumpe 1/Süd": "quiet"}
    sent = [one for one in bench.turn(bench.announcer()) if one.topic.endswith("/config")]
    proposed = set()
    for one in sent:
        entity = json.loads(one.payload)
        _, component, key, _ = one.topic.split("/")
        assert entity["default_entity_id"] == f"{component}.{key}"
        assert entity["unique_id"] == key
        assert "object_id" not in entity
        assert {"state_topic", "device", "origin"} <= entity.keys()
        assert entity["device"]["identifiers"]
        assert entity["origin"]["name"]
        # An enumeration has its choices, and neither a unit nor a state class.
        if entity.get("device_class") == "enum":
            assert entity["options"]
            assert not {"state_class", "unit_of_measurement"} & entity.keys()
        proposed.add(entity["default_entity_id"])
    assert len(proposed) == len(sent) == 6 + 3


def test_a_machine_that_went_between_two_runs_is_cleared(bench: Bench) -> None:
    bench.states = {"a": "quiet", "b": "quiet"}
    bench.turn(bench.announcer())
    bench.states = {"a": "quiet"}
    cleared = [one.topic for one in bench.turn(bench.announcer()) if not one.payload]
    assert len(cleared) == 4
    assert all("b" in topic.split("/")[-1] or "_b_" in topic for topic in cleared)


def test_a_full_disk_forgets_nothing(bench: Bench) -> None:
    announcer = bench.announcer()
    bench.states = {"a": "quiet"}
    bench.fail = True
    with pytest.raises(Unavailable):
        bench.turn(announcer)
    assert bench.store.generations.load("t") is None
    bench.fail = False
    assert len(bench.turn(announcer)) == 6 + 4


def test_an_incident_outlives_a_restart_and_ends(bench: Bench) -> None:
    bench.states = {"pump-1": "open"}
    announcer = bench.announcer()
    opened = finding("i1")
    announcer.findings([opened])
    bench.turn(announcer)
    again = bench.announcer()
    state = next(one for one in bench.turn(again) if "/machine/" in one.topic)
    assert json.loads(state.payload)["incident"] == "ON"
    again.findings([opened.model_copy(update={"phase": IncidentPhase.CLOSED})])
    state = next(one for one in bench.turn(again) if "/machine/" in one.topic)
    assert json.loads(state.payload)["incident"] == "OFF"
    assert json.loads(state.payload)["diagnosis"] == "none"


def test_machines_are_capped_and_those_with_incidents_stay(bench: Bench) -> None:
    bench.states = {f"m{n}": "quiet" for n in range(20)} | {"z": "open"}
    topics = {one.topic for one in bench.turn(bench.announcer(max_equipment=3))}
    machines = {topic for topic in topics if "/machine/" in topic}
    assert len(machines) == 3
    assert machine_topic(GATEWAY, "z") in machines


def test_a_new_incident_begins_without_a_diagnosis() -> None:
    old = Picture(incident_id="i0", is_open=False, diagnosis="Leak")
    assert old.found(finding("i1")).diagnosis == ""
    assert old.found(finding("i1")).is_open


@pytest.mark.parametrize("name", ["Pumpe 1/Süd", "a" * 500, "+", "#", "x\n", "模"])
def test_any_machine_name_becomes_a_topic_of_its_own(name: str) -> None:
    topic = machine_topic(GATEWAY, name)
    assert mqtt.topic_matches_sub("edge/gw1/machine/+", topic)
    assert slug(name) != slug(name + "!")
    assert len(topic) < 100
