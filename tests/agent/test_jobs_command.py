"""`edge-agent jobs` beside a running agent: it looks by itself and changes by the agent's hand."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brokers import Mosquitto, wait_until
from findings import job
from plant import Client, Daemon, write_settings
from typer.testing import CliRunner, Result

from edge_agent.cli import app
from edge_agent.config.settings import StoreSection
from edge_agent.domain.job import JobState
from edge_agent.doorway import NAME, Doorway, ask
from edge_agent.errors import BadConfig, Unavailable
from edge_agent.store.database import Store


def jobs(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["jobs", *words, "--config", str(config)])


def quarantined(state: Path, *incidents: str) -> None:
    store = Store.open(state, StoreSection(ballast_mb=0))
    for name in incidents:
        store.jobs.enqueue(job(name, created_at=time.time()))
        claimed = store.jobs.claim(time.time())
        assert claimed
        store.jobs.finish(claimed, JobState.QUARANTINED)
    store.close()


def test_jobs_are_shown_retried_and_dropped_while_the_agent_runs(
    broker: Mosquitto, tmp_path: Path
) -> None:
    config = write_settings(tmp_path, broker.port, inference={"model": str(tmp_path / "no.gguf")})
    state = tmp_path / "state"
    quarantined(state, "i1", "i2")
    with Client(broker.port, "edge/#") as client, Daemon(config) as daemon:
        client.wait_for("edge/gw1/status", lambda one: one.json["state"] == "online")
        assert stat.S_IMODE((state / NAME).stat().st_mode) == 0o600
        assert json.loads(jobs(config, "list", "--json").stdout)["counts"]["quarantined"] == 2
        assert json.loads(jobs(config, "show", "i1-0", "--json").stdout)["state"] == "quarantined"
        assert "queued again" in jobs(config, "retry", "i1-0").stdout
        diagnosis = client.wait_for("edge/gw1/diagnosis/pump-1")
        assert diagnosis.json["diagnosis_id"] == "i1-0"
        assert json.loads(jobs(config, "drop", "i2-0", "--json").stdout)["state"] == "dropped"
        wrong = jobs(config, "retry", "nothing")
        assert "no job 'nothing'" in str(wrong.exception)
        again = jobs(config, "retry", "i1-0")
        assert again.exception, "a job that is done is not made again"
        assert json.loads(jobs(config, "show", "i1-0", "--json").stdout)["state"] == "done"
        assert daemon.terminate() == 0
    assert not (state / NAME).exists()
    assert jobs(config, "drop", "i1-0").exit_code == 0, "and while it does not run"
    assert jobs(config, "list").stdout.strip().endswith("no jobs")


@pytest.fixture
def door(tmp_path: Path) -> Iterator[tuple[Path, Doorway]]:
    folder = tmp_path / ("a-folder-whose-name-is-longer-than-a-socket-may-have-" * 4)
    folder.mkdir()

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request.get("refuse"):
            raise BadConfig("not like this")
        return {"heard": request}

    made = Doorway(folder, answer)
    yield folder, made
    made.close()


def connected(folder: Path) -> socket.socket:
    line = socket.socket(socket.AF_UNIX)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    line.connect(f"/proc/self/fd/{descriptor}/{NAME}")
    os.close(descriptor)
    return line


def test_a_caller_gets_its_answer_or_the_reason(door: tuple[Path, Doorway]) -> None:
    folder, doorway = door
    stop = threading.Event()

    def serve() -> None:
        while not stop.wait(0.01):
            doorway.turn()

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        assert ask(folder, {"a": 1}) == {"heard": {"a": 1}}
        with pytest.raises(Unavailable, match="not like this"):
            ask(folder, {"refuse": True})
        for rubbish in (b"", b"\n", b"[1]\n", b"\xff\n", b"x" * 100_000):
            with connected(folder) as line:
                line.sendall(rubbish)
                line.shutdown(socket.SHUT_WR)
                assert line.recv(10) == b""
        assert ask(folder, {"a": 2}) == {"heard": {"a": 2}}
    finally:
        stop.set()
        serving.join(5)


def test_a_caller_that_says_nothing_holds_nobody_up(door: tuple[Path, Doorway]) -> None:
    folder, doorway = door
    with connected(folder) as line:
        doorway.turn()  # returns by itself
        line.settimeout(5)
        wait_until(lambda: line.recv(1) == b"")


def test_nobody_at_home_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        ask(tmp_path, {})
