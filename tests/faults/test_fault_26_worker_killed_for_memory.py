from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import wait_until
from workers import Make, never, request

from edge_agent.errors import Unavailable
from edge_agent.govern.cgroup import find_groups

LIMIT_MB = 60
"""Less than the weights take."""


@contextlib.contextmanager
def small_group() -> Iterator[Path | None]:
    """A version 1 memory group of ``LIMIT_MB``; None where we may make none."""
    groups = find_groups(Path("/")).memory_v1
    folder = groups[0] / f"edge-agent-fault-{os.getpid()}" if groups else Path("/nowhere")
    try:
        folder.mkdir()
    except OSError:
        yield None
        return
    (folder / "memory.limit_in_bytes").write_text(str(LIMIT_MB * 10**6))
    yield folder
    wait_until(lambda: not (folder / "cgroup.procs").read_text().split(), what="the group to empty")
    folder.rmdir()


def megabytes_allowed(pid: int) -> int:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return int(words[words.index("--memory-mb") + 1])


@pytest.mark.model
def test_fault_26_the_kernel_kills_the_worker_and_the_next_one_gets_by_with_less(
    make: Make,
) -> None:
    client = make(model="smollm2-135m", context=4096)
    with small_group() as group:
        errors: list[Exception] = []

        def ask() -> None:
            try:
                client.complete(request(), never)
            except Unavailable as error:
                errors.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        wait_until(lambda: client.status().pid is not None)
        pid = client.status().pid
        assert pid is not None
        first = megabytes_allowed(pid)
        if group is not None:
            (group / "cgroup.procs").write_text(str(pid))
        else:  # without the right to set a limit: as the kernel does it
            os.kill(pid, signal.SIGKILL)
        asking.join(60)
        assert "killed by SIGKILL" in str(errors[0])
    assert client.complete(request(), never).text
    pid = client.status().pid
    assert pid is not None
    assert megabytes_allowed(pid) < first
    assert client.status().rss_mb < megabytes_allowed(pid)
