"""A real memory limit: a neighbour allocates step by step, we give way, nothing is killed.

Needs a version 1 memory controller that we may write (root on an older or hybrid host).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.govern.cgroup import find_groups

LIMIT_MB = 520
NEIGHBOUR_MB = 280
STEP_MB = 20
PATIENCE_S = 120.0

NEIGHBOUR = f"""
import sys, time
held = []
for step in range({NEIGHBOUR_MB // STEP_MB}):
    held.append(bytearray(b"x" * {STEP_MB * 10**6}))
    print(len(held) * {STEP_MB}, flush=True)
    time.sleep(0.5)
sys.stdin.readline()
"""


@pytest.fixture
def box() -> Iterator[Path]:
    groups = find_groups(Path("/")).memory_v1
    if not groups or not os.access(groups[0], os.W_OK):
        pytest.skip("no version 1 memory controller that we may write")
    folder = groups[0] / f"edge-agent-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    (folder / "memory.limit_in_bytes").write_text(str(LIMIT_MB * 10**6))
    yield folder
    end = time.monotonic() + 10
    while (folder / "cgroup.procs").read_text().split() and time.monotonic() < end:
        time.sleep(0.05)
    folder.rmdir()


def start(box: Path, *command: str) -> subprocess.Popen[str]:
    into = f'echo $$ > "{box}/cgroup.procs"; exec "$@"'
    return subprocess.Popen(
        ["/bin/sh", "-c", into, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


class Watched:
    """The boxed agent with the newest line that it wrote."""

    def __init__(self, box: Path) -> None:
        script = Path(__file__).with_name("boxed_agent.py")
        self.child = start(box, sys.executable, str(script))
        self.lines: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self.lines.append(json.loads(line))

    def wait_for(self, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        end, seen = time.monotonic() + PATIENCE_S, 0
        while time.monotonic() < end:
            assert self.child.poll() is None, "the agent ended"
            for line in self.lines[seen:]:
                seen += 1
                if what(line):
                    return line
            time.sleep(0.05)
        pytest.fail(f"in vain; last {self.lines[-1:]}")

    def end(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write("\n")
        self.child.stdin.close()
        self.child.wait(30)
        self._thread.join(5)
        assert self.child.stdout is not None
        self.child.stdout.close()


def kills(box: Path) -> int:
    words = (box / "memory.oom_control").read_text().split()
    return int(words[words.index("oom_kill") + 1])


@pytest.mark.model
def test_a_growing_neighbour_gets_its_memory_and_nothing_is_killed(box: Path) -> None:
    agent = Watched(box)
    try:
        loaded = agent.wait_for(lambda line: line["answered"] >= 2 and line["worker_mb"] > 150)
        neighbour = start(box, sys.executable, "-c", NEIGHBOUR)
        assert neighbour.stdout is not None
        assert neighbour.stdin is not None
        steps = [int(neighbour.stdout.readline()) for _ in range(NEIGHBOUR_MB // STEP_MB)]
        assert steps[-1] == NEIGHBOUR_MB, "the neighbour got all it wanted"
        low = agent.wait_for(lambda line: line["worker_mb"] == 0 and line["refused"] > 0)
        assert low["answered"] >= loaded["answered"]
        assert neighbour.poll() is None
        neighbour.communicate("\n", timeout=30)
        assert neighbour.returncode == 0
        agent.wait_for(lambda line: line["worker_mb"] > 150 and line["answered"] > low["answered"])
        assert kills(box) == 0
    finally:
        agent.end()
    assert agent.child.returncode == 0
