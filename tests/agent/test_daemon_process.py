"""What the daemon's process is made of: little, because it runs for months on a small box."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from brokers import Mosquitto, wait_until
from plant import REPOSITORY, Client, Daemon, write_settings

from edge_agent.daemon import DEFAULT, settings_file

NOT_NEEDED = {
    "amqtt",
    "asyncio",
    "cbor2",
    "click",
    "cryptography",
    "google.protobuf",
    "hypothesis",
    "llama_cpp",
    "llguidance",
    "pint",
    "pytest",
    "rich",
    "typer",
}
"""Packages of the command line, the worker, the tests, and of payloads that do not come here."""

LEAVE_MODULES = """
import atexit, os, sys
atexit.register(lambda: open(os.environ["MODULES"], "w").write("\\n".join(sys.modules)))
"""


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["run"], {}, DEFAULT),
        (["run"], {"EDGE_AGENT_CONFIG": "/a.toml"}, "/a.toml"),
        (["run", "--config", "b.toml"], {"EDGE_AGENT_CONFIG": "/a.toml"}, "b.toml"),
        (["run", "-c", "b.toml"], {}, "b.toml"),
        (["run", "--config=b.toml"], {}, "b.toml"),
        (["run", "--config="], {}, None),
        (["run", "--help"], {}, None),
        (["run", "--config"], {}, None),
        (["run", "--config", "a", "b"], {}, None),
        (["check", "--config", "a"], {}, None),
        ([], {}, None),
    ],
)
def test_the_plain_form_of_run_is_known_without_the_command_line(
    arguments: list[str], environment: dict[str, str], expected: str | None
) -> None:
    found = settings_file(arguments, environment)
    assert found == (None if expected is None else Path(expected))


def test_a_running_daemon_has_loaded_nothing_that_it_does_not_need(
    broker: Mosquitto, tmp_path: Path
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(LEAVE_MODULES)
    modules = tmp_path / "modules"
    path = os.pathsep.join([str(hooks), str(REPOSITORY)])
    config = write_settings(tmp_path, broker.port)
    with (
        Client(broker.port, "edge/#") as client,
        Daemon(config, PYTHONPATH=path, MODULES=str(modules)) as daemon,
    ):
        client.wait_for("edge/gw1/status", lambda heard: heard.json["state"] == "online")
        client.stream("pump-7", [{"flow": float(number % 7)} for number in range(300)])
        client.say("plant/pump-7/telemetry", b"not telemetry")
        client.wait_for("edge/gw1/deadletter")
        client.wait_for("edge/gw1/health", lambda heard: heard.json["intake"]["messages"] == 301)
        assert daemon.terminate() == 0
    wait_until(modules.exists, what="the list of modules")
    loaded = set(modules.read_text().split())
    assert "edge_agent.agent" in loaded
    assert not loaded & NOT_NEEDED


@pytest.mark.parametrize("form", [["--config", "gone.toml"], ["--config=gone.toml"]])
def test_settings_that_are_not_there_end_it_with_78(form: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", "run", *form],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 78
    assert "gone.toml" in done.stderr
    assert "Traceback" not in done.stderr
