from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from findings import finding, job, outgoing, undone
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.config.settings import StoreSection
from edge_agent.domain.job import TRANSITIONS, JobState
from edge_agent.errors import IllegalTransition
from edge_agent.store.database import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path, StoreSection(ballast_mb=0))
    yield opened
    opened.close()


def test_enqueue_takes_a_job_once(store: Store) -> None:
    assert store.jobs.enqueue(job())
    assert not store.jobs.enqueue(job())
    claimed = store.jobs.claim(2000)
    assert claimed
    store.jobs.finish(claimed, JobState.DONE)
    assert not store.jobs.enqueue(job())  # a redelivered message finds its work done


def test_a_newer_window_supersedes_only_what_still_waits(store: Store) -> None:
    store.jobs.enqueue(job(sequence=0))
    store.jobs.claim(2000)
    store.jobs.enqueue(job(sequence=1))
    store.jobs.enqueue(job(sequence=2))
    states = {found.id: found.state for found in store.jobs.list()}
    assert states == {
        "i1-0": JobState.RUNNING,
        "i1-1": JobState.SUPERSEDED,
        "i1-2": JobState.QUEUED,
    }


def test_a_diagnosis_on_demand_neither_replaces_nor_is_replaced(store: Store) -> None:
    store.jobs.enqueue(job(sequence=0))
    asked = job(sequence=1).model_copy(update={"id": "ask", "question": "why?"})
    store.jobs.enqueue(asked)
    store.jobs.enqueue(job(sequence=2))
    states = {found.id: found.state for found in store.jobs.list()}
    assert states["ask"] is JobState.QUEUED
    assert states["i1-0"] is JobState.SUPERSEDED


def test_claim_goes_by_urgency_then_age_and_counts_the_attempt(store: Store) -> None:
    store.jobs.enqueue(job("old", created_at=10))
    store.jobs.enqueue(job("new", created_at=20))
    store.jobs.enqueue(job("urgent", priority=0, created_at=30))
    order = [claimed for _ in range(4) if (claimed := store.jobs.claim(100))]
    assert [claimed.incident_id for claimed in order] == ["urgent", "old", "new"]
    assert all(claimed.attempts == 1 and claimed.state is JobState.RUNNING for claimed in order)


def test_a_retry_waits_its_time_even_when_the_clock_jumps(store: Store) -> None:
    store.jobs.enqueue(job())
    claimed = store.jobs.claim(2000)
    assert claimed
    store.jobs.retry(claimed.id, 2060, "worker died")
    assert store.jobs.claim(2059) is None
    ten_years = 315_000_000
    again = store.jobs.claim(2000 - ten_years)  # set back: it does not wait for ten years
    assert again
    assert (again.attempts, again.last_error) == (2, "worker died")


def test_a_job_that_kills_the_agent_is_counted(store: Store, tmp_path: Path) -> None:
    store.jobs.enqueue(job())
    for attempt in (1, 2, 3):
        claimed = store.jobs.claim(2000)
        assert claimed
        assert claimed.attempts == attempt
        store.close()  # the agent ends while it runs
        store = Store.open(tmp_path, StoreSection(ballast_mb=0))
        assert store.jobs.requeue_running() == 1
    store.close()


def test_finish_and_outbox_row_come_together_or_not_at_all(store: Store) -> None:
    store.jobs.enqueue(job())
    claimed = store.jobs.claim(2000)
    assert claimed
    with undone(store):
        store.jobs.finish(claimed, JobState.DONE)
        store.outbox.add([outgoing("d1")], 2000)
    found = store.jobs.get(claimed.id)
    assert found
    assert found.state is JobState.RUNNING
    assert store.outbox.counts().waiting == 0


@settings(max_examples=60, deadline=None)
@given(moves=st.lists(st.sampled_from(JobState), max_size=6))
def test_no_sequence_of_moves_leaves_the_table(moves: list[JobState]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder), StoreSection(ballast_mb=0))
        store.jobs.enqueue(job())
        state = JobState.QUEUED
        for target in moves:
            found = store.jobs.get("i1-0")
            assert found
            legal = target in TRANSITIONS[state]
            try:
                store.jobs.finish(found, target)
                assert legal
                state = target
            except IllegalTransition:
                assert not legal
            after = store.jobs.get("i1-0")
            assert after
            assert after.state is state
        store.close()


def test_old_finished_jobs_and_incidents_are_pruned(store: Store) -> None:
    for number in range(20):
        store.jobs.enqueue(job(f"i{number}"))
        claimed = store.jobs.claim(2000)
        assert claimed
        store.jobs.finish(claimed, JobState.DONE)
        store.incidents.record(finding(f"i{number}"))
    store.jobs.enqueue(job("waits"))
    assert store.jobs.prune(keep=5) == 15
    assert store.jobs.counts()[JobState.QUEUED] == 1
    assert store.incidents.prune(keep=5) == 15
    assert [found.incident_id for found in store.incidents.recent(limit=1)] == ["i19"]


def test_incidents_know_what_came_twice(store: Store) -> None:
    assert store.incidents.record(finding(sequence=0))
    assert store.incidents.record(finding(sequence=1))
    assert not store.incidents.record(finding(sequence=1))
    assert not store.incidents.record(finding(sequence=0))
    assert store.incidents.recent("pump-1")[0].sequence == 1
    assert store.incidents.recent("other") == []
