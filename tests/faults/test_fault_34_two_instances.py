from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.config.settings import StoreSection
from edge_agent.errors import Unavailable
from edge_agent.store.database import Store

HOLDER = """
import sys
from pathlib import Path
from edge_agent.config.settings import StoreSection
from edge_agent.store.database import Store
Store.open(Path(sys.argv[1]), StoreSection(ballast_mb=0))
print("open", flush=True)
sys.stdin.read()
"""


def test_fault_34_a_second_instance_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    settings = StoreSection(ballast_mb=0)
    first = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert first.stdout
        assert first.stdout.readline() == b"open\n"
        with pytest.raises(Unavailable, match=f"pid {first.pid}"):
            Store.open(tmp_path, settings)
    finally:
        first.kill()
        first.communicate()
    Store.open(tmp_path, settings).close()  # a lock ends with its process, however it ended
