from __future__ import annotations

from pathlib import Path

import daemon_campaign
from brokers import Mosquitto, wait_until
from plant import Client, Daemon, Row, write_settings

from edge_agent.failpoints import VARIABLE

POINTS = ("received:1", "commit:3", "committed:4", "acked:2", "publish:4")
MACHINE = "simulated-pump"


def rows(count: int) -> list[Row]:
    return [
        {"flow": 10.0 + (n * 7 % 13) / 13, "pressure": 2.0 + (n * 5 % 11) / 11}
        for n in range(count)
    ]


def test_fault_29_the_daemon_answers_each_command_once_wherever_it_dies(
    broker: Mosquitto, tmp_path: Path
) -> None:
    config = write_settings(tmp_path, broker.port, inference={"model": str(tmp_path / "no.gguf")})
    with Client(broker.port, "edge/#", "answers/#") as client:
        with Daemon(config) as daemon:
            client.wait_for("edge/gw1/status")
            client.stream(MACHINE, rows(300))
            client.wait_for("edge/gw1/health", lambda one: one.json["intake"]["readings"] >= 600)
            assert daemon.terminate() == 0  # keeps what it has learned
        for number, point in enumerate(POINTS):
            with Daemon(config, **{VARIABLE: point}) as daemon:
                ask(client, number)
                process = daemon.process
                assert process
                process.wait(30)
                assert process.returncode == -9
        with Daemon(config) as daemon:
            wait_until(lambda: len(diagnoses(client)) >= len(POINTS), 60, "every diagnosis")
            assert daemon.terminate() == 0
    ids = {one["diagnosis_id"] for one in diagnoses(client).values()}
    assert len(ids) == len(POINTS)
    assert set(diagnoses(client)) == {f"c{n}".encode() for n in range(len(POINTS))}
    published = {one.json["diagnosis_id"] for one in client.on(f"edge/gw1/diagnosis/{MACHINE}")}
    assert published == ids


def ask(client: Client, number: int) -> None:
    client.say(
        "edge/gw1/cmd/diagnose",
        {"equipment": MACHINE},
        response_topic="answers/here",
        correlation=f"c{number}".encode(),
    )


def diagnoses(client: Client) -> dict[bytes | None, dict[str, object]]:
    """Correlation data → the diagnosis; fails where one command got two of them."""
    found: dict[bytes | None, dict[str, object]] = {}
    for one in client.on("answers/here"):
        if "diagnosis_id" in one.json and "verdict" in one.json:
            known = found.setdefault(one.correlation, one.json)
            assert known == one.json
    return found


def test_fault_29_an_incident_goes_on_where_it_was_when_the_daemon_died(
    broker: Mosquitto, tmp_path: Path
) -> None:
    config = write_settings(tmp_path, broker.port, inference={"model": str(tmp_path / "no.gguf")})
    topic = f"edge/gw1/incident/{MACHINE}"
    fallen: list[Row] = [{**row, "flow": row["flow"] / 2} for row in rows(60) if row["flow"]]
    with Client(broker.port, "edge/#") as client:
        with Daemon(config) as daemon:
            client.wait_for("edge/gw1/status")
            at = client.stream(MACHINE, rows(300))
            at = client.stream(MACHINE, fallen, start=at)
            client.wait_for(topic)
            daemon.kill()
        with Daemon(config) as daemon:
            at = client.stream(MACHINE, fallen, start=at)
            client.stream(MACHINE, rows(300), start=at)
            client.wait_for(topic, lambda one: one.json["phase"] == "closed")
            assert daemon.terminate() == 0
    states = {one.json["message_id"]: one.json for one in client.on(topic)}
    assert len({one["incident_id"] for one in states.values()}) == 1
    assert [one["sequence"] for one in states.values()] == list(range(len(states)))
    assert {one.payload for one in client.on(topic)} == {
        client.wait_for(topic, lambda one, key=key: one.json["message_id"] == key).payload  # type: ignore[misc]
        for key in states
    }, "what came twice was the same both times"


def test_fault_29_the_daemon_campaign_finds_nothing_lost_or_said_twice() -> None:
    report = daemon_campaign.campaign(seed=2029, kills=6)
    assert report.clean, report
    assert report.kills == 6
