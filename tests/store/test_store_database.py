from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from findings import job, outgoing, undone

from edge_agent.config.settings import StoreSection
from edge_agent.errors import BadConfig, Unavailable
from edge_agent.store.connection import Connection, Full
from edge_agent.store.database import FILE_NAME, Store
from edge_agent.store.schema import migrate, migrations, version_of
from edge_agent.store.statelock import lock_owner

SETTINGS = StoreSection(ballast_mb=0)


def test_what_was_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    store = Store.open(tmp_path, SETTINGS)
    store.jobs.enqueue(job())
    store.outbox.add([outgoing("a")], 0)
    store.snapshots.put("baseline", "pump-1", b"\x00learned")
    store.generations.save("config", b"{}")
    store.counters.add("dead_letters", 3)
    store.close()
    store = Store.open(tmp_path, SETTINGS)
    assert store.alarms == []
    assert store.jobs.get("i1-0")
    assert store.outbox.counts().waiting == 1
    assert store.snapshots.all("baseline") == {"pump-1": b"\x00learned"}
    assert store.generations.load("config") == b"{}"
    assert store.counters.all() == {"dead_letters": 3}
    store.close()


def test_durability_is_as_promised(tmp_path: Path) -> None:
    connection = Connection(tmp_path / "a.db", max_bytes=2**24)
    pragmas = {
        name: connection.execute(f"PRAGMA {name}")[0][0]
        for name in ("journal_mode", "synchronous", "auto_vacuum", "max_page_count")
    }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "auto_vacuum": 2,
        "max_page_count": 4096,
    }
    connection.close()


def test_a_second_agent_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from edge_agent.config.settings import StoreSection\n"
        "from edge_agent.store.database import Store\n"
        "store = Store.open(Path(sys.argv[1]), StoreSection(ballast_mb=0))\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout
        assert child.stdout.readline() == b"open\n"
        assert lock_owner(tmp_path) == child.pid
        with pytest.raises(Unavailable, match=f"pid {child.pid}"):
            Store.open(tmp_path, SETTINGS)
    finally:
        child.kill()
        child.communicate()
    assert lock_owner(tmp_path) is None
    Store.open(tmp_path, SETTINGS).close()


def test_a_damaged_file_is_set_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    for number in range(1, 6):
        store = Store.open(tmp_path, SETTINGS)
        for row in range(200):
            store.jobs.enqueue(job(f"i{row}"))
        store.close()
        with (tmp_path / FILE_NAME).open("r+b") as file:
            file.seek(3 * 4096)
            file.write(os.urandom(40 * 4096))
        store = Store.open(tmp_path, SETTINGS)
        assert len(store.alarms) == 1
        assert f"corrupt-{number}" in store.alarms[0]
        assert len(store.jobs.list(1000)) < 200
        assert store.jobs.enqueue(job(f"new-{number}"))
        store.close()
    assert len(list(tmp_path.glob(f"{FILE_NAME}.corrupt-[0-9]"))) == 3


@pytest.mark.parametrize("content", [b"", b"no database at all " * 1000, b"SQLite format 3\0" * 99])
def test_any_file_content_ends_in_a_working_store(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    store = Store.open(tmp_path, SETTINGS)
    assert store.jobs.enqueue(job())
    assert bool(store.alarms) == bool(content)
    store.close()


def test_migrations_go_forward_with_a_copy_made_before(tmp_path: Path) -> None:
    connection = Connection(tmp_path / "a.db", max_bytes=2**24)
    assert migrate(connection) is None  # nothing worth a copy in an empty file
    connection.execute("INSERT INTO counters VALUES ('kept', 1)")
    newest = migrations()[-1][0]
    further = [
        *migrations(),
        (newest + 1, "CREATE TABLE more (a INTEGER);\nINSERT INTO more VALUES (1);\n"),
    ]
    copy = migrate(connection, further)
    assert version_of(connection) == newest + 1
    assert connection.execute("SELECT a FROM more")[0]["a"] == 1
    connection.close()
    assert copy
    before = sqlite3.connect(copy)
    assert before.execute("SELECT value FROM counters").fetchall() == [(1,)]
    assert before.execute("PRAGMA user_version").fetchone() == (newest,)
    before.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    connection = Connection(tmp_path / "a.db", max_bytes=2**24)
    migrate(connection)
    newest = migrations()[-1][0]
    broken = [
        *migrations(),
        (newest + 1, "CREATE TABLE more (a);\nINSERT INTO nowhere VALUES (1);\n"),
    ]
    with pytest.raises(Unavailable):
        migrate(connection, broken)
    assert version_of(connection) == newest
    assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'more'")
    connection.close()


def test_a_file_from_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    Store.open(tmp_path, SETTINGS).close()
    raw = sqlite3.connect(tmp_path / FILE_NAME)
    raw.execute("PRAGMA user_version = 999")
    raw.close()
    with pytest.raises(BadConfig, match="newer"):
        Store.open(tmp_path, SETTINGS)
    assert not list(tmp_path.glob("*corrupt*"))


def test_the_bound_on_the_file_holds_and_undoes_what_did_not_fit(tmp_path: Path) -> None:
    store = Store.open(tmp_path, StoreSection(max_mb=8, ballast_mb=0))
    store.snapshots.put("kind", "kept", b"a")
    too_much = {f"n{number}": bytes(200_000) for number in range(100)}
    with pytest.raises(Full, match="max_mb"):
        store.snapshots.put_all("kind", too_much)
    assert store.snapshots.all("kind") == {"kept": b"a"}
    store.snapshots.put("kind", "again", b"b")
    store.close()


def test_looking_needs_no_lock_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no such file"):
        Store.view(tmp_path, SETTINGS)
    store = Store.open(tmp_path, SETTINGS)
    store.jobs.enqueue(job())
    view = Store.view(tmp_path, SETTINGS)
    assert len(view.jobs.list()) == 1
    with pytest.raises(Unavailable):
        view.jobs.enqueue(job("other"))
    view.close()
    store.close()


def test_actions_wait_for_the_commit(tmp_path: Path) -> None:
    store = Store.open(tmp_path, SETTINGS)
    seen: list[str] = []
    with store.transaction():
        store.on_commit(lambda: seen.append("committed"))
        assert seen == []
    assert seen == ["committed"]
    with undone(store):
        store.on_commit(lambda: seen.append("never"))
    store.on_commit(lambda: seen.append("at once"))
    assert seen == ["committed", "at once"]
    store.close()
