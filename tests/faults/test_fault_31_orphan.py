from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from brokers import wait_until
from workers import gone

PARENT = (
    "import sys, time; from pathlib import Path\n"
    "from edge_agent.inference.process import WorkerProcess\n"
    "p = WorkerProcess(['--socket', sys.argv[1], '--model', 'smollm2-135m',"
    " '--models-dir', '.'])\n"
    "print(p.pid, flush=True); time.sleep(600)\n"
)


def test_fault_31_a_worker_dies_with_the_agent(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "s")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until((tmp_path / "s").exists)
        parent.kill()
    wait_until(lambda: gone(pid))
