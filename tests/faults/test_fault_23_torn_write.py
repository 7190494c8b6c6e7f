"""The list of faults names no 23; here it is the write that a power cut tore."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from findings import outgoing

from edge_agent.config.settings import StoreSection
from edge_agent.store.database import FILE_NAME, Store

SETTINGS = StoreSection(ballast_mb=0)


@pytest.mark.parametrize("tail", ["cut", "garbage", "zeros"])
def test_fault_23_a_torn_log_keeps_every_transaction_before_the_tear(
    tmp_path: Path, tail: str
) -> None:
    store = Store.open(tmp_path / "a", SETTINGS)
    sizes = []
    wal = tmp_path / "a" / f"{FILE_NAME}-wal"
    for number in range(30):
        store.outbox.add([outgoing(f"m{number}", payload=os.urandom(3000))], 0.0)
        sizes.append(wal.stat().st_size)
    (tmp_path / "b").mkdir()
    for suffix in ("", "-wal"):  # the disk as the power cut leaves it: no orderly close
        shutil.copy(tmp_path / "a" / f"{FILE_NAME}{suffix}", tmp_path / "b")
    store.close()
    torn = tmp_path / "b" / f"{FILE_NAME}-wal"
    tear, end = sizes[19] + 700, sizes[-1]
    with torn.open("r+b") as file:
        file.truncate(tear)
        file.seek(tear)
        file.write(
            {"cut": b"", "garbage": os.urandom(end - tear), "zeros": bytes(end - tear)}[tail]
        )
    again = Store.open(tmp_path / "b", SETTINGS)
    assert [m.key for _, m in again.outbox.pending(100, 0.0)] == [f"m{n}" for n in range(20)]
    assert again.alarms == []
    again.upkeep.examine()
    again.close()
