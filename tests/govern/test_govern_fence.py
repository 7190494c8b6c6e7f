"""The worker's control group, on a made-up hierarchy; regular files stand for the kernel's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.config.govern import GovernSection
from edge_agent.govern.cgroup import find_groups
from edge_agent.govern.fence import Fence, delegated_group, enclose, tighten
from edge_agent.govern.governor import Governor

Put = Callable[[str, object], Path]
OWN = "sys/fs/cgroup/system.slice/edge-agent.service"


@pytest.fixture
def own(root: Path, put: Put) -> Path:
    put("proc/self/cgroup", "0::/system.slice/edge-agent.service")
    put("sys/fs/cgroup/cgroup.controllers", "cpu memory")
    put(f"{OWN}/cgroup.controllers", "memory")
    put(f"{OWN}/cgroup.subtree_control", "")
    put(f"{OWN}/cgroup.procs", "41\n42")
    put(f"{OWN}/worker/cgroup.procs", "")
    put(f"{OWN}/daemon/cgroup.procs", "")
    folder = root / OWN
    try:
        os.setxattr(folder, "user.delegate", b"1")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    return folder


def test_only_a_group_that_was_delegated_is_touched(root: Path, own: Path) -> None:
    assert delegated_group(find_groups(root), 41) == own
    os.removexattr(own, "user.delegate")
    assert delegated_group(find_groups(root), 41) is None
    fence = enclose(None, 41, 77, high_mb=200, most_mb=300)
    assert fence.folder is None
    assert "oom_score_adj" in fence.words


def test_the_daemon_moves_aside_and_the_worker_gets_its_limits(own: Path) -> None:
    fence = enclose(own, 41, 77, high_mb=200, most_mb=300)
    assert fence.folder == own / "worker"
    assert (own / "daemon/cgroup.procs").read_text() == "42", "the last one written"
    assert (own / "cgroup.subtree_control").read_text() == "+memory"
    assert (own / "worker/memory.high").read_text() == "200000000"
    assert (own / "worker/memory.max").read_text() == "300000000"
    assert (own / "worker/cgroup.procs").read_text() == "77"
    assert tighten(fence, 150)
    assert (own / "worker/memory.high").read_text() == "150000000"


def test_after_a_restart_in_place_the_parent_is_meant(root: Path, own: Path, put: Put) -> None:
    put("proc/self/cgroup", "0::/system.slice/edge-agent.service/daemon")
    put(f"{OWN}/daemon/cgroup.procs", "41")
    assert delegated_group(find_groups(root), 41) == own


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    fence = enclose(tmp_path / "absent", 41, 77, high_mb=200, most_mb=300)
    assert fence.folder is None
    assert "absent" in fence.words
    assert not tighten(fence, 100)
    assert not tighten(Fence(tmp_path / "gone", ""), 100)


def test_the_governor_fences_a_new_worker(root: Path, own: Path, put: Put) -> None:
    now = 1000.0
    put("proc/meminfo", "MemAvailable: 4000000 kB")
    section = GovernSection(sensor_root=root, memory_mb=600)
    governor = Governor(section, clock=lambda: now, monotonic=lambda: now, state=None)
    governor.observe_worker(os.getpid())
    high = own / "worker/memory.high"
    before = int(high.read_text())
    assert 300e6 < before < 600e6
    put("proc/meminfo", "MemAvailable: 100000 kB")
    now += 1
    governor.sample()
    assert int(high.read_text()) < before
