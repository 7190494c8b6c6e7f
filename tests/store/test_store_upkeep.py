from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest
from findings import finding, job, outgoing

from edge_agent.config.settings import StoreSection
from edge_agent.domain.job import JobState
from edge_agent.store.ballast import Ballast
from edge_agent.store.connection import Connection, Damaged
from edge_agent.store.database import FILE_NAME, Store
from edge_agent.store.lives import STEADY_S, Lives
from edge_agent.store.salvage import salvage
from edge_agent.store.schema import migrate
from edge_agent.store.upkeep import CHECK_S, FIRST_CHECK_S

SETTINGS = StoreSection(ballast_mb=1)


def test_free_pages_go_back_to_the_disk(tmp_path: Path) -> None:
    store = Store.open(tmp_path, SETTINGS)
    store.snapshots.put_all("big", {str(n): bytes(50_000) for n in range(100)})
    store.upkeep.connection.checkpoint()
    full = store.bytes_on_disk()
    for name in store.snapshots.all("big"):
        store.snapshots.delete("big", name)
    for turn in range(20):
        store.upkeep.turn(turn * 600.0)
    store.upkeep.connection.checkpoint()
    assert full > 5_000_000
    assert store.bytes_on_disk() < full / 10
    store.close()


def test_the_daily_check_finds_damage_and_the_next_start_sets_the_file_aside(
    tmp_path: Path,
) -> None:
    store = Store.open(tmp_path, SETTINGS)
    for number in range(300):
        store.jobs.enqueue(job(f"i{number}"))
    store.upkeep.turn(0.0)
    store.upkeep.turn(FIRST_CHECK_S)
    assert store.alarms == []
    store.upkeep.connection.checkpoint()
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.seek(30 * 4096)
        file.write(os.urandom(30 * 4096))
    store.upkeep.connection.execute("PRAGMA shrink_memory")
    with pytest.raises(Damaged):
        store.upkeep.turn(FIRST_CHECK_S + CHECK_S)
    store.close()
    store = Store.open(tmp_path, SETTINGS)
    assert len(store.alarms) == 1
    assert store.jobs.enqueue(job("fresh"))
    store.close()


def test_an_index_that_disagrees_is_built_anew(tmp_path: Path) -> None:
    store = Store.open(tmp_path, SETTINGS)
    store.jobs.enqueue(job())
    store.close()
    raw = sqlite3.connect(tmp_path / FILE_NAME)
    raw.execute("PRAGMA writable_schema = ON")
    raw.execute(
        "UPDATE sqlite_master SET sql = 'CREATE INDEX jobs_of_incident ON jobs (state)'"
        " WHERE name = 'jobs_of_incident'"
    )
    raw.commit()
    raw.close()
    store = Store.open(tmp_path, SETTINGS)
    store.upkeep.examine()
    assert ["built anew" in alarm for alarm in store.alarms] == [True]
    store.upkeep.examine()
    assert len(store.alarms) == 1
    store.close()


def test_ballast_is_held_given_up_and_taken_back(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path, 1_000_000)
    assert ballast.restore()
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= 1_000_000
    assert ballast.give_up()
    assert not ballast.give_up()
    assert not ballast.held
    assert ballast.restore()
    assert Ballast(tmp_path / "none", 0).restore()


def test_what_a_damaged_file_still_holds_is_kept(tmp_path: Path) -> None:
    store = Store.open(tmp_path, SETTINGS)
    store.generations.save("config", b'{"highest": 41}')
    store.outbox.add([outgoing(f"m{n}", payload=b'{"n": 1}') for n in range(50)], 0)
    for number in range(400):
        store.jobs.enqueue(job(f"i{number}"))
        store.incidents.record(finding(f"i{number}"))
    store.close()
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.seek(0, os.SEEK_END)
        size = file.tell()
        file.seek(size // 2)
        file.write(os.urandom(8 * 4096))
    again = Store.open(tmp_path, SETTINGS)
    assert "1 generations" in again.alarms[0]
    assert again.generations.load("config") == b'{"highest": 41}'
    assert again.outbox.counts().waiting == 50
    assert 0 < len(again.jobs.list(1000)) <= 400
    while claimed := again.jobs.claim(2000):  # every row that was kept makes sense
        again.jobs.finish(claimed, JobState.DONE)
    assert again.incidents.recent(limit=1000)
    again.upkeep.examine()
    again.close()


def test_salvage_takes_nothing_that_makes_no_sense(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "old", SETTINGS)
    store.generations.save("config", b"\xffgarbage")
    store.outbox.add([outgoing("bad", payload=b"{"), outgoing("good", payload=b"{}")], 0)
    store.close()
    fresh = Connection(tmp_path / "new.db", max_bytes=2**24)
    migrate(fresh)
    saved = salvage(tmp_path / "old" / FILE_NAME, fresh)
    assert saved["generations"] == 0
    assert saved["outbox"] == 1
    assert salvage(tmp_path / "nowhere.db", fresh) == {}
    fresh.close()


def test_lives_that_break_off_are_a_crash_loop_until_one_lasts(tmp_path: Path) -> None:
    store = Store.open(tmp_path, SETTINGS)
    assert [Lives(store.counters).begin(0.0) for _ in range(4)] == [0, 1, 2, 3]
    life = Lives(store.counters)
    life.begin(0.0)
    loops = [life.crash_loop]
    assert not life.steady(STEADY_S - 1)
    assert life.steady(STEADY_S)
    assert not life.steady(STEADY_S + 1)
    loops.append(life.crash_loop)
    assert loops == [True, False]
    life.end()
    assert Lives(store.counters).begin(0.0) == 0
    store.close()


def test_the_jobs_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from typer.testing import CliRunner

    from edge_agent.cli.jobs import app

    config = tmp_path / "edge-agent.toml"
    config.write_text(f'[store]\nstate_dir = "{tmp_path}"\nballast_mb = 0\n')
    runner = CliRunner()

    def call(*words: str) -> tuple[int, str]:
        result = runner.invoke(app, [*words, "--config", str(config)])
        return result.exit_code, result.output

    store = Store.open(tmp_path, SETTINGS)
    store.jobs.enqueue(job("a"))
    claimed = store.jobs.claim(2000)
    assert claimed
    store.jobs.retry(claimed.id, 0, "worker died")
    claimed = store.jobs.claim(2000)
    assert claimed
    store.jobs.finish(claimed, JobState.QUARANTINED)
    store.jobs.enqueue(job("b"))
    code, text = call("list", "--json")  # beside the running agent
    document = json.loads(text)
    assert code == 0
    assert document["counts"]["quarantined"] == 1
    assert {found["id"] for found in document["jobs"]} == {"a-0", "b-0"}
    assert "worker died" in call("list")[1]
    assert json.loads(call("show", "a-0", "--json")[1])["state"] == "quarantined"
    assert call("show", "nowhere")[0] == 1
    store.close()
    assert json.loads(call("retry", "a-0", "--json")[1]) == {"job": "a-0", "state": "queued"}
    assert call("drop", "b-0")[0] == 0
    left = json.loads(call("list", "--json")[1])["jobs"]
    assert [(found["id"], found["state"], found["attempts"]) for found in left] == [
        ("a-0", "queued", 0)
    ]
