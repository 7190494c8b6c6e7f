"""The daemon's status socket, and ``edge-agent status`` that asks it."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brokers import Mosquitto, wait_until
from plant import REPOSITORY, Client, Daemon, write_settings
from rich.console import Console

from edge_agent.cli.status_view import MACHINES_SHOWN, page
from edge_agent.config import load_settings
from edge_agent.config.observe import ObserveSection
from edge_agent.config.settings import Settings, StoreSection
from edge_agent.errors import Unavailable
from edge_agent.simulate.pump import PumpLoop
from edge_agent.statussocket import NAME, StatusSocket, ask, find, runtime_dir

REPORT: dict[str, Any] = {"agent": {"id": "gw1"}, "governor": {"level": "eco", "reason": "warm"}}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a path longer than a socket's address may be."""
    deep = tmp_path / ("long-" * 20) / ("name-" * 10)
    served = StatusSocket(deep, lambda: REPORT)
    served.start()
    yield deep
    served.close()
    assert not (deep / NAME).exists()


def test_it_answers_again_and_again(folder: Path) -> None:
    assert [ask(folder) for _ in range(5)] == [REPORT] * 5
    assert (folder / NAME).stat().st_mode & 0o007 == 0


def test_callers_at_the_same_time_are_all_answered(folder: Path) -> None:
    heard: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: heard.append(ask(folder))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == [REPORT] * 5


def test_a_caller_that_does_not_read_holds_nobody_up_for_ever(tmp_path: Path) -> None:
    large = {"text": "x" * 3_000_000}
    served = StatusSocket(tmp_path, lambda: large)
    served.start()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(tmp_path / NAME))
        assert ask(tmp_path, 20.0) == large
    served.close()


def test_a_second_daemon_does_not_take_the_socket(folder: Path) -> None:
    other = StatusSocket(folder, lambda: {"agent": {"id": "gw2"}})
    other.start()
    other.close()
    assert ask(folder) == REPORT


def test_a_socket_left_by_a_killed_daemon_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / NAME))
    with pytest.raises(Unavailable, match="no daemon answers"):
        ask(tmp_path)
    served = StatusSocket(tmp_path, lambda: REPORT)
    served.start()
    assert ask(tmp_path) == REPORT
    served.close()


def test_no_daemon_and_a_stranger_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no daemon answers"):
        ask(tmp_path / "nowhere")
    served = StatusSocket(tmp_path, lambda: [1])  # type: ignore[arg-type, return-value]
    served.start()
    with pytest.raises(Unavailable, match="broke off"):
        ask(tmp_path)
    served.close()


def test_an_agent_that_cannot_have_a_socket_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    served = StatusSocket(tmp_path / "file", lambda: REPORT)
    served.start()
    served.close()


def test_where_the_socket_lies(tmp_path: Path) -> None:
    settings = Settings(store=StoreSection(state_dir=tmp_path))
    assert runtime_dir(settings, {}) == tmp_path
    assert runtime_dir(settings, {"RUNTIME_DIRECTORY": "/run/a:/run/b"}) == Path("/run/a")
    named = settings.model_copy(update={"observe": ObserveSection(runtime_dir=Path("/run/mine"))})
    assert runtime_dir(named, {"RUNTIME_DIRECTORY": "/run/a"}) == Path("/run/mine")
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(tmp_path / NAME))
        assert find(settings, {"RUNTIME_DIRECTORY": "/run/a"}) == tmp_path


def shown(report: dict[str, Any]) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(page(report))
    return console.export_text()


def test_the_page_of_an_empty_report() -> None:
    text = shown({})
    assert "none yet: no telemetry has arrived" in text
    assert "not connected" in text


def test_the_page_shows_machines_with_incidents_first_and_stays_bounded() -> None:
    quiet = {"state": "quiet", "learned": 1.0, "signals": 3, "score": 0.1, "incident_id": None}
    equipment = {f"pump-{n}": quiet for n in range(100)}
    equipment["[bold]z"] = {**quiet, "state": "open", "score": 2.0, "incident_id": "i-1"}
    text = shown({"equipment": equipment})
    assert "1 with an incident, 100 normal" in text
    assert text.index("[bold]z") < text.index("pump-")
    assert text.count("pump-") == MACHINES_SHOWN - 1
    assert "and 81 more" in text


def test_a_machine_in_a_state_of_a_later_version_is_counted() -> None:
    machines = {"a": {"state": "quiet"}, "b": {"state": "resting"}, "c": {"state": "open"}}
    assert "1 with an incident, 1 normal, 1 resting" in shown({"equipment": machines})


def edge_agent(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_agent", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)


def test_status_of_a_running_daemon_and_of_one_that_ended(
    broker: Mosquitto, tmp_path: Path
) -> None:
    config = write_settings(tmp_path, broker.port, health={"interval_s": 3600})
    before = edge_agent("status", "--config", str(config))
    assert before.returncode == 1
    assert "no report of an earlier run" in before.stdout
    with Daemon(config) as daemon, Client(broker.port, "edge/#") as client:
        client.wait_for("edge/gw1/health")
        loop = PumpLoop(7, [])
        client.stream("simulated-pump", [loop.step(1.0) for _ in range(50)])
        state = load_settings(config).store.state_dir
        # Live: the health message of the interval was written before any telemetry came.
        wait_until(lambda: ask(state)["equipment"].get("simulated-pump", {}).get("rows", 0) > 40)
        answer = edge_agent("status", "--config", str(config), "--json")
        readable = edge_agent("status", "--config", str(config))
        assert daemon.terminate() == 0
    assert answer.returncode == 0
    document = json.loads(answer.stdout)
    assert document["running"]
    assert document["health"]["mqtt"]["connected"]
    assert "1 learning" in readable.stdout
    assert "simulated-pump" in readable.stdout
    after = edge_agent("status", "--config", str(config), "--json")
    assert after.returncode == 1
    left = json.loads(after.stdout)
    assert not left["running"]
    assert left["last_report_at"].startswith("20")
    assert left["health"]["agent"]["id"] == "gw1"
