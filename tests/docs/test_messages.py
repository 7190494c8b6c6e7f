"""What a running daemon publishes has the shape that the documentation gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import paho.mqtt.client as mqtt
from brokers import Mosquitto
from plant import REPOSITORY, Client, Daemon, write_settings

from edge_agent.messages import TOPICS, commands
from edge_agent.simulate.faults import Fault, FaultName
from edge_agent.simulate.pump import PumpLoop
from edge_agent.statussocket import ask

SCHEMAS = REPOSITORY / "docs" / "schemas"


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text())
    return found


def check(document: object, name: str) -> None:
    found = schema(name)
    jsonschema.Draft202012Validator.check_schema(found)
    jsonschema.Draft202012Validator(found).validate(document)


def test_every_message_of_a_run_is_as_documented(broker: Mosquitto, tmp_path: Path) -> None:
    config = write_settings(
        tmp_path,
        broker.port,
        diagnose={"settle_s": 1},
        inference={"model": "absent", "fallbacks": []},
        observe={"home_assistant": {"enabled": True}},
        rollout={"probation_s": 1},
    )
    loop = PumpLoop(7, [Fault(FaultName.OUTLET_VALVE_CLOSING, onset_s=300, develop_s=60)])
    with Daemon(config) as daemon, Client(broker.port, "edge/gw1/#") as client:
        client.wait_for("edge/gw1/status")
        client.say("plant/simulated-pump/telemetry", b"\x00no json")
        client.stream("simulated-pump", [loop.step(1.0) for _ in range(420)])
        client.say("edge/gw1/config/desired", {"agent": "gw1", "revision": 1, "patch": {}})
        client.say("edge/gw1/model/desired", {"kind": "model", "agent": "gw1", "revision": 1})
        incident = client.wait_for("edge/gw1/incident/simulated-pump").json["incident_id"]
        bodies: dict[str, dict[str, str]] = {
            "diagnose": {"equipment": "simulated-pump"},
            "rebaseline": {"equipment": "simulated-pump"},
            "feedback": {"incident_id": incident, "verdict": "false_alarm"},
        }
        client.wait_for("edge/gw1/machine/simulated-pump", lambda heard: heard.json["last_fault"])
        for one in commands():
            body = {"id": one.name, **bodies.get(one.name, {})}
            jsonschema.validate(body, schema(f"command-{one.name}-request"))
            client.say(f"edge/gw1/cmd/{one.name}", body)
            said = client.wait_for(f"edge/gw1/cmd/{one.name}/response").json
            assert said["ok"], said
            check(said["result"], f"command-{one.name}-response")
        client.wait_for("edge/gw1/config/reported", lambda heard: heard.json["result"] == "ok")
        live = ask(tmp_path / "state")
        assert daemon.terminate() == 0
        client.wait_for("edge/gw1/status", lambda heard: heard.json["state"] == "offline")
        heard = list(client.heard)
    seen = set()
    for message in heard:
        for topic in TOPICS:
            levels = topic.address.replace("{equipment}", "+").replace("{name}", "+")
            if topic.sent and mqtt.topic_matches_sub(f"edge/gw1/{levels}", message.topic):
                # A diagnosis that was asked for follows its answer on the same topic.
                shape = "diagnosis" if "diagnosis_id" in message.json else topic.schema
                shape = "command-answer" if "command" in message.json else shape
                check(message.json, shape)
                seen.add(topic.schema)
    scheduled = {"checkup", "summary"}  # by the clock: tests/agent/test_rounds.py
    assert seen == {topic.schema for topic in TOPICS if topic.sent} - scheduled
    check({"schema_version": 1, "at": "", **live}, "health")
