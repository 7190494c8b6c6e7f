"""Every state of the configuration roll-out in the real daemon, each hit by SIGKILL: after a start
it is confirmed or rolled back, never between, and telemetry and jobs are intact."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from brokers import Mosquitto, wait_until
from plant import Client, Heard, write_settings
from rollout.killed import DiesAt

from edge_agent.config.settings import StoreSection
from edge_agent.domain.finding import Finding, IncidentPhase, Window
from edge_agent.domain.job import Job, JobState, job_id_for
from edge_agent.store.database import Store
from edge_agent.store.jobs import MAX_WAIT_S

DESIRED, REPORTED = "edge/gw1/config/desired", "edge/gw1/config/reported"
LIVE = {"health": {"interval_s": 1}}
RESTARTING = {"mqtt": {"keepalive_s": 17}, "health": {"interval_s": 1}}
UNHEALTHY = {"mqtt": {"port": 1}}
"""A broker that is not there."""
ON_THE_WAY = ("received", "verified", "staged", "applying", "probation")
BROKEN = {"health": {"interval_s": "often"}}
KILLS = [
    *((state, "after", LIVE, "confirmed") for state in (*ON_THE_WAY, "confirmed")),
    *((state, "after", RESTARTING, "confirmed") for state in ("applying", "probation")),
    *(
        (state, "after", UNHEALTHY, "rolled_back")
        for state in ("applying", "failed", "rolled_back")
    ),
    ("rejected", "after", BROKEN, "rejected"),
    # A kill before a state is one after the state before it, but where an effect lies between.
    ("probation", "before", LIVE, "confirmed"),
    ("confirmed", "before", LIVE, "confirmed"),
    ("probation", "before", RESTARTING, "confirmed"),
    ("rolled_back", "before", UNHEALTHY, "rolled_back"),
]


def desired(revision: int, patch: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "config", "agent": "gw1", "revision": revision, "patch": patch}


def ends_as(state: str, revision: int) -> Any:  # noqa: ANN401 - a predicate for wait_for
    def holds(one: Heard) -> bool:
        report = one.json
        return (report["state"], report["revision"], report["final"]) == (state, revision, True)

    return holds


def has_learned(rows: int) -> Any:  # noqa: ANN401 - a predicate for wait_for
    def holds(one: Heard) -> bool:
        found = one.json["equipment"].get("pump-1", {}).get("rows", 0)
        assert found <= rows
        return bool(found == rows)

    return holds


def park_a_job(state_dir: Path) -> None:
    """A job that is due long after the test: it must still be queued in the end."""
    finding = Finding(
        incident_id="i1",
        phase=IncidentPhase.OPENED,
        equipment="pump-9",
        opened_at=1.0,
        at=2.0,
        score=2.0,
        reason="for the test",
        window=Window(start=1.0, end=2.0),
        evidence=(),
        fingerprint="f",
    )
    job = Job(
        id=job_id_for(finding),
        incident_id="i1",
        equipment="pump-9",
        finding=finding,
        created_at=time.time(),
        not_before=time.time() + 0.9 * MAX_WAIT_S,
    )
    store = Store.open(state_dir, StoreSection(state_dir=state_dir))
    store.jobs.enqueue(job)
    store.close()


def queued_jobs(state_dir: Path) -> int:
    store = Store.open(state_dir, StoreSection(state_dir=state_dir))
    try:
        return store.jobs.counts()[JobState.QUEUED]
    finally:
        store.close()


@pytest.mark.parametrize(("state", "when", "patch", "end"), KILLS)
def test_fault_45_a_kill_in_any_state_is_survived(
    broker: Mosquitto, tmp_path: Path, state: str, when: str, patch: dict[str, Any], end: str
) -> None:
    config = write_settings(tmp_path, broker.port, rollout={"probation_s": 1})
    park_a_job(tmp_path / "state")
    rows = [{"flow": 1.0 + number % 3} for number in range(50)]
    daemon = DiesAt(config, "config", 2, state, when)
    with Client(broker.port, "edge/#") as client, daemon:
        client.wait_for("edge/gw1/status", lambda one: one.json["state"] == "online")
        client.say(DESIRED, desired(1, {"log": {"level": "info"}}), retain=True)
        client.wait_for(REPORTED, ends_as("confirmed", 1))
        client.say(DESIRED, desired(2, patch), retain=True)
        wait_until(daemon.killed, 60, f"the kill at {state}")
        client.stream("pump-1", rows)  # waits at the broker, in our session
        daemon.start()
        report = client.wait_for(REPORTED, ends_as(end, 2)).json
        effective = report["effective"]
        assert effective["revision"] == (2 if end == "confirmed" else 1)
        settings = effective["settings"]
        expected = patch if end == "confirmed" else {"log": {"level": "info"}}
        for section, keys in expected.items():
            for key, value in keys.items():
                assert settings[section][key] == value
        assert settings["mqtt"]["port"] == broker.port
        # Not a row lost, and none twice: all restarts after the kill were orderly.
        client.wait_for("edge/gw1/health", has_learned(len(rows)))
        assert daemon.terminate() == 0
    assert queued_jobs(tmp_path / "state") == 1
