"""The fleet at work, as docs/remote-configuration.md shows it: five real agents, real pushes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from plant import REPOSITORY

PAGE = REPOSITORY / "docs" / "remote-configuration.md"
TOLD = re.compile(r"^(\$ edge-agent .*|wave .*|revision .*|  gateway-\d: \w+|no difference)", re.M)


def told(text: str) -> list[str]:
    """Commands and what became of them; ports differ from run to run."""
    return [re.sub(r"--port \d+", "--port N", line) for line in TOLD.findall(text)]


@pytest.mark.timeout(400)
def test_the_demonstration_runs_as_the_page_shows_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent.demo.fleet"],
        capture_output=True,
        text=True,
        check=False,
        timeout=350,
        env={**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "120"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    shown = PAGE.read_text(encoding="utf-8").partition("## A fleet at work")[2]
    assert len(told(shown)) > 30
    assert told(done.stdout) == told(shown)
