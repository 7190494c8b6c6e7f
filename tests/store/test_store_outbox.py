from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from findings import outgoing, undone

from edge_agent.config.settings import StoreSection
from edge_agent.domain.outgoing import OutgoingPriority
from edge_agent.store.database import Store

HEALTH, NOTE = OutgoingPriority.HEALTH, OutgoingPriority.NOTE


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path, StoreSection(ballast_mb=0, outbox_rows=100))
    yield opened
    opened.close()


def keys(store: Store, now: float = 0.0) -> list[str]:
    return [message.key for _, message in store.outbox.pending(1000, now)]


def test_results_go_before_health_and_each_in_its_order(store: Store) -> None:
    store.outbox.add([outgoing("h1", HEALTH), outgoing("r1"), outgoing("n1", NOTE)], 0)
    store.outbox.add([outgoing("r2"), outgoing("h2", HEALTH)], 1)
    assert keys(store) == ["r1", "r2", "h1", "h2", "n1"]


def test_a_key_that_waits_is_not_added_again(store: Store) -> None:
    assert store.outbox.add([outgoing("a"), outgoing("a")], 0) == 1
    [(seq, _)] = store.outbox.pending(10, 0)
    store.outbox.sent(seq)
    assert keys(store) == []


def test_a_newer_retained_state_replaces_the_one_that_waits(store: Store) -> None:
    store.outbox.add([outgoing("s1", topic="edge/gw/config/reported", retain=True)], 0)
    store.outbox.add([outgoing("s2", topic="edge/gw/config/reported", retain=True)], 1)
    assert keys(store) == ["s2"]


def test_past_its_rows_the_oldest_least_urgent_go_and_are_counted(store: Store) -> None:
    store.outbox.add([outgoing(f"h{n}", HEALTH) for n in range(60)], 0)
    store.outbox.add([outgoing(f"r{n}") for n in range(90)], 1)
    left = keys(store)
    assert len(left) == 100
    assert [key for key in left if key.startswith("r")] == [f"r{n}" for n in range(90)]
    assert [key for key in left if key.startswith("h")] == [f"h{n}" for n in range(50, 60)]
    assert store.outbox.counts().shed == 50


def test_tighter_bounds_drop_nothing_that_waits(store: Store) -> None:
    store.outbox.add([outgoing(f"r{n}") for n in range(80)], 0)
    store.use(StoreSection(ballast_mb=0, outbox_rows=100, max_mb=8))
    store.outbox.bound(max_rows=20, max_bytes=1_000)
    assert len(keys(store)) == 80
    store.outbox.add([outgoing("new", HEALTH)], 0)
    assert keys(store) == [f"r{n}" for n in range(80)], "no room for newer ones until then"
    with undone(store):
        store.outbox.sent_all([seq for seq, _ in store.outbox.pending(70, 0)])
    store.outbox.add([outgoing("newer", HEALTH)], 0)
    assert len(keys(store)) == 80
    store.outbox.bound(max_rows=20, max_bytes=1_000_000)
    store.outbox.sent_all([seq for seq, _ in store.outbox.pending(75, 0)])
    store.outbox.add([outgoing(f"n{n}") for n in range(30)], 0)
    assert len(keys(store)) == 20


def test_wider_bounds_hold_at_once(store: Store) -> None:
    store.use(StoreSection(ballast_mb=1, outbox_rows=300))
    store.outbox.add([outgoing(f"r{n}") for n in range(250)], 0)
    assert len(keys(store)) == 250
    assert (store.path.parent / "ballast").stat().st_size == 1024 * 1024
    store.use(StoreSection(ballast_mb=0, outbox_rows=300))
    assert not (store.path.parent / "ballast").exists()
    [(limit,)] = store.upkeep.connection.execute("PRAGMA max_page_count")
    assert limit == 256 * 256


def test_past_its_bytes_it_sheds_too(tmp_path: Path) -> None:
    store = Store.open(tmp_path, StoreSection(max_mb=8, ballast_mb=0))
    big = b"x" * 500_000
    for number in range(20):
        store.outbox.add([outgoing(f"r{number}", payload=big)], 0)
    counts = store.outbox.counts()
    assert counts.bytes <= 4 * 1024 * 1024
    assert counts.shed == 20 - counts.waiting > 0
    assert keys(store)[-1] == "r19"
    store.close()


def test_a_refused_one_waits_and_the_others_go(store: Store) -> None:
    store.outbox.add([outgoing("a"), outgoing("b")], 0)
    [(seq, _), _] = store.outbox.pending(10, 0)
    assert store.outbox.park(seq, lambda refusals: 10.0 * refusals, "not authorized") == 1
    assert keys(store, 9) == ["b"]
    assert keys(store, 10) == ["a", "b"]
    assert store.outbox.park(seq, lambda refusals: 10.0 * refusals, "not authorized") == 2
    assert keys(store, 10) == ["b"]
    assert keys(store, -315_000_000) == ["a", "b"]  # the clock was set back by ten years
    assert store.outbox.counts().parked == 1
    store.outbox.unpark()
    assert keys(store, 0) == ["a", "b"]


def test_what_outlived_its_time_is_dropped_and_counted(store: Store) -> None:
    store.outbox.add([outgoing("h", HEALTH, expires_at=60), outgoing("r")], 0)
    assert keys(store, 61) == ["r"]
    assert store.outbox.counts().expired == 1


def test_bounds_survive_a_transaction_that_was_undone(store: Store) -> None:
    for _ in range(3):
        with undone(store):
            store.outbox.add([outgoing(f"r{n}") for n in range(90)], 0)
    store.outbox.add([outgoing(f"r{n}") for n in range(100)], 0)
    assert store.outbox.counts().shed == 0
