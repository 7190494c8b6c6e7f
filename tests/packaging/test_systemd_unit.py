"""The unit files say what systemd understands, and keep their sandbox."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from plant import REPOSITORY

UNIT = REPOSITORY / "systemd" / "edge-agent.service"


def test_the_unit_verifies(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    installed = "/opt/edge-agent/bin/edge-agent"
    copy.write_text(UNIT.read_text().replace(installed, "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_exposure_stays_low() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(UNIT)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found
    assert float(found[1]) <= 1.3
