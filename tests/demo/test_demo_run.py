"""The demonstration as a user runs it: real broker, real daemon, real model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from edge_agent.domain.diagnosis import Diagnosis


def demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run it with its temporary files below ``folder``; fails if a process stays behind."""
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", "demo", "--json", "--timeout=200", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert processes_of(folder) == []
    return done


def processes_of(folder: Path) -> list[str]:
    """Processes whose command line names a file below ``folder``."""
    commands = (" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"]))
    return [command for command in commands if f"{folder}/edge-agent-demo-" in command]


@pytest.mark.model
def test_a_fault_of_the_simulated_pump_becomes_a_diagnosis_over_mqtt(tmp_path: Path) -> None:
    done = demo(tmp_path, "--fault=bearing_wear", "--speed=60")
    assert done.returncode == 0, done.stderr
    diagnosis = Diagnosis.model_validate_json(done.stdout)
    assert diagnosis.equipment == "simulated-pump"
    assert diagnosis.simulated
    assert {"bearing_temperature", "vibration"} & {e.signal for e in diagnosis.evidence}
    assert "incident opened" in done.stderr
    assert list(tmp_path.glob("edge-agent-demo-*")) == []


def test_a_daemon_that_cannot_start_ends_the_demonstration_with_its_words(tmp_path: Path) -> None:
    """The card is refused by the daemon, and the reason reaches the screen."""
    data = tmp_path / "r.csv"
    data.write_text("t,a\n" + "".join(f"{i},1\n" for i in range(50)), encoding="utf-8")
    card = tmp_path / "c.toml"
    card.write_text("equipment = 'fan'\nwings = 3\n", encoding="utf-8")
    done = demo(tmp_path, f"--data={data}", f"--card={card}", "--learn-rows=30")
    assert done.returncode == 78
    assert "wings: unknown key" in done.stderr


def test_data_without_a_card_is_wrong_usage(tmp_path: Path) -> None:
    data = tmp_path / "r.csv"
    data.write_text("t,a\n1,2\n", encoding="utf-8")
    done = demo(tmp_path, f"--data={data}")
    assert done.returncode == 2
    assert "--data and --card belong together" in done.stderr
