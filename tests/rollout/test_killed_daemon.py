"""Every state of the configuration roll-out in the real daemon, each hit by SIGKILL: after a start
it is confirmed or rolled back, never between, and telemetry and jobs are intact."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from brokers import Mosquitto, wait_until
from plant import REPOSITORY, Client, Daemon, Heard, write_settings

DESIRED, REPORTED = "edge/gw1/config/desired", "edge/gw1/config/reported"
LIVE = {"health": {"interval_s": 1}}
RESTARTING = {"mqtt": {"keepalive_s": 17}, "health": {"interval_s": 1}}
UNHEALTHY = {"mqtt": {"port": 1}}
"""A broker that is not there."""
ON_THE_WAY = ("received", "verified", "staged", "applying", "probation")
STATES = [
    *((state, LIVE, "confirmed") for state in (*ON_THE_WAY, "confirmed")),
    *((state, RESTARTING, "confirmed") for state in ("applying", "probation")),
    ("applying", UNHEALTHY, "rolled_back"),
    ("failed", UNHEALTHY, "rolled_back"),
    ("rolled_back", UNHEALTHY, "rolled_back"),
    ("rejected", {"health": {"interval_s": "often"}}, "rejected"),
]


class DiesAt(Daemon):
    """The daemon that kills itself once, when its second revision reaches ``state``."""

    def __init__(self, config: Path, state: str, when: str) -> None:
        super().__init__(config)
        self.marker = config.parent / "killed"
        self.arguments = ["config", state, when, str(self.marker)]

    def start(self) -> None:
        script = REPOSITORY / "tests" / "rollout" / "dies_at.py"
        command = [sys.executable, str(script), *self.arguments, "run", "--config"]
        environment = {**self.environment, "PYTHONPATH": str(REPOSITORY)}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, str(self.config)],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=REPOSITORY,
                env=environment,
                start_new_session=True,
            )

    def killed(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None


def desired(revision: int, patch: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "config", "agent": "gw1", "revision": revision, "patch": patch}


def ends_as(state: str, revision: int) -> Any:  # noqa: ANN401 - a predicate for wait_for
    def holds(one: Heard) -> bool:
        report = one.json
        return (report["state"], report["revision"], report["final"]) == (state, revision, True)

    return holds


def park_a_job(state_dir: Path) -> None:
    """A job as a crash would leave it; only its row is looked at."""
    with sqlite3.connect(state_dir / "edge-agent.db") as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master")]
        assert "jobs" in names


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("state", "patch", "end"), STATES)
def test_a_kill_in_any_state_is_survived(
    broker: Mosquitto, tmp_path: Path, state: str, patch: dict[str, Any], end: str, when: str
) -> None:
    config = write_settings(tmp_path, broker.port, rollout={"probation_s": 1})
    rows = [{"flow": 1.0 + number % 3} for number in range(50)]
    with Client(broker.port, "edge/#") as client, DiesAt(config, state, when) as daemon:
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
        heard = client.wait_for(
            "edge/gw1/health",
            lambda one: one.json["intake"]["readings"] >= len(rows),
        )
        assert heard.json["intake"]["readings"] >= len(rows)
        assert daemon.terminate() == 0
