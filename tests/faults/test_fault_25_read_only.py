from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from mounts import mounting, small_disk

from edge_agent.config.settings import StoreSection
from edge_agent.errors import Unavailable
from edge_agent.store.database import Store


def test_fault_25_a_read_only_disk_is_said_and_used_again_once_writable(tmp_path: Path) -> None:
    settings = StoreSection(ballast_mb=0)
    with small_disk(tmp_path / "disk", 16) as disk:
        Store.open(disk, settings).close()
        subprocess.run(mounting("mount", "-o", "remount,ro", disk), check=True)
        with pytest.raises(Unavailable, match="writable"):
            Store.open(disk, settings)
        subprocess.run(mounting("mount", "-o", "remount,rw", disk), check=True)
        store = Store.open(disk, settings)
        store.counters.add("x")
        assert store.alarms == []
        store.close()


def test_fault_25_a_database_that_turns_read_only_is_like_a_full_disk(tmp_path: Path) -> None:
    store = Store.open(tmp_path, StoreSection(ballast_mb=0))
    store.upkeep.connection.execute("PRAGMA query_only = ON")
    attempts = iter([False, False, True])
    with pytest.raises(Unavailable):
        store.persist(lambda: store.counters.add("x"), give_up=lambda: next(attempts))
    store.upkeep.connection.execute("PRAGMA query_only = OFF")
    store.persist(lambda: store.counters.add("x"))
    assert store.counters.all() == {"x": 1}
    store.close()
