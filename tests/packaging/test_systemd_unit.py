"""The unit files say what systemd understands, keep their sandbox, and follow the settings."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import tomli_w
from plant import REPOSITORY
from typer.testing import CliRunner

from edge_agent.cli import app
from edge_agent.config.settings import Settings
from edge_agent.unitlimits import AGENT, WORKER, limits

UNITS = REPOSITORY / "systemd"
SOCKET = "/run/edge-agent-inference/inference.sock"
MOST_EXPOSED = {AGENT: 1.3, WORKER: 0.2}


def directives(unit: str) -> list[tuple[str, str]]:
    lines = (UNITS / f"{unit}.service").read_text().splitlines()
    pairs = [line.partition("=") for line in lines if "=" in line and line[0] not in "#;"]
    return [(key, value) for key, _, value in pairs]


def value(unit: str, key: str) -> str:
    return next(found for name, found in directives(unit) if name == key)


@pytest.mark.parametrize("unit", MOST_EXPOSED)
def test_the_unit_verifies(unit: str, tmp_path: Path) -> None:
    text = (UNITS / f"{unit}.service").read_text()
    # What the package installs isn't here: the program, and its documentation.
    text = text.replace("/opt/edge-agent/bin/edge-agent", "/bin/true")
    (tmp_path / f"{unit}.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / f"{unit}.service")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("unit", "most"), MOST_EXPOSED.items())
def test_the_exposure_stays_low(unit: str, most: float) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(UNITS / f"{unit}.service")],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found
    assert float(found[1]) <= most


def test_no_unit_waits_for_a_clock_or_a_network() -> None:
    for unit in MOST_EXPOSED:
        waits = [v for k, v in directives(unit) if k in {"After", "Requires", "Wants", "BindsTo"}]
        assert not [v for v in waits if "online" in v or "time" in v]


def test_the_shipped_limits_are_those_of_the_default_settings() -> None:
    with_own_unit = Settings.model_validate({"inference": {"socket": SOCKET}})
    wanted = {**limits(Settings()), WORKER: limits(with_own_unit)[WORKER]}
    for unit, pairs in wanted.items():
        assert {key: value(unit, key) for key in pairs} == pairs


def test_the_worker_sees_neither_secrets_nor_state() -> None:
    assert value(WORKER, "PrivateNetwork") == "yes"
    assert value(WORKER, "InaccessiblePaths") == "-/etc/edge-agent/secrets"
    assert value(WORKER, "TemporaryFileSystem") == "/var/lib:ro"
    assert "StateDirectory" not in dict(directives(WORKER))
    assert value(WORKER, "User") == value(AGENT, "User")


def test_a_drop_in_follows_the_budgets(tmp_path: Path) -> None:
    path = tmp_path / "edge-agent.toml"
    document = {
        "inference": {"socket": SOCKET, "threads": 4},
        "govern": {
            "memory_mb": 600,
            "power_peak_watts": 12.0,
            "idle_watts": 4.0,
            "watts_per_core": 4.0,
        },
    }
    path.write_text(tomli_w.dumps(document))
    done = CliRunner().invoke(app, ["systemd", "show", "--config", str(path)])
    assert done.exit_code == 0
    agent, worker = done.stdout.split("\n\n")
    assert "CPUQuota=200%" in worker.splitlines()  # 12 W, 4 W of them idle, 4 W a core
    assert "MemoryHigh=553M" in worker.splitlines()  # (600 - 96) MB * 1.15 in MiB
    assert agent.startswith("# /etc/systemd/system/edge-agent.service.d/")
    for name, text in ((AGENT, agent), (WORKER, worker)):
        folder = tmp_path / f"{name}.service.d"
        folder.mkdir()
        (folder / "50-budgets.conf").write_text(text + "\n")
        unit = (UNITS / f"{name}.service").read_text()
        unit = unit.replace("/opt/edge-agent/bin/edge-agent", "/bin/true")
        (tmp_path / f"{name}.service").write_text(unit)
        verified = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(tmp_path / f"{name}.service")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (verified.returncode, verified.stderr) == (0, "")


def test_an_unknown_unit_is_wrong_usage(tmp_path: Path) -> None:
    path = tmp_path / "edge-agent.toml"
    path.write_text("")
    words = ["systemd", "show", "--config", str(path), "--unit", WORKER]
    assert CliRunner().invoke(app, words).exit_code == 2
