from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from brokers import wait_until
from findings import job

from edge_agent.casebook import Casebook
from edge_agent.config.settings import Settings, StoreSection
from edge_agent.diagnose.runner import Desk, DiagnosisLoop
from edge_agent.domain.card import Card, CardFault, CardSignal
from edge_agent.domain.completion import Completion, CompletionRequest
from edge_agent.domain.diagnosis import Diagnosis
from edge_agent.domain.job import JobState
from edge_agent.domain.level import Allowance, Level, Spent
from edge_agent.errors import BadAnswer, Unavailable
from edge_agent.store.database import Store

CARD = Card(
    equipment="pump-1",
    signals={"flow": CardSignal(unit="L/min")},
    faults=(
        CardFault(
            id="clogged", title="Clogged", description="Flow falls.", symptoms={"flow": "falls"}
        ),
    ),
)
Complete = Callable[[CompletionRequest, Callable[[], bool]], Completion]


def loop_on(store: Store, complete: Complete) -> DiagnosisLoop:
    casebook = Casebook(store, Settings(), lambda _: CARD, lambda: None)
    desk = Desk(
        claim=lambda: store.jobs.claim(time.time()),
        finish=casebook.finish,
        retry=lambda job_id, _at, why: store.jobs.retry(job_id, 0.0, why),
        put_back=lambda job: store.jobs.put_back(job.id),
        overtaken=lambda job: store.jobs.overtaken(job.priority, time.time()),
        admit=lambda _: Allowance(Level.FULL, "test"),
        charge=lambda _c, _w, _p: Spent(0.0, 0.0, 0.0, measured=False),
        complete=complete,
    )
    return DiagnosisLoop(desk, Settings().diagnose, lambda _: CARD, "gw")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (BadAnswer("no JSON came back"), JobState.QUARANTINED),
        (Unavailable("the worker died"), JobState.DONE),
    ],
)
def test_fault_18_three_attempts_then_the_rules_answer(
    tmp_path: Path, error: Exception, state: JobState
) -> None:
    store = Store.open(tmp_path, StoreSection(ballast_mb=0))
    asked: list[str] = []

    def complete(request: CompletionRequest, _cancelled: Callable[[], bool]) -> Completion:
        asked.append(request.request_id)
        raise error

    store.jobs.enqueue(job(created_at=time.time()))
    stop = threading.Event()
    thread = threading.Thread(target=loop_on(store, complete).run, args=(stop,))
    thread.start()
    wait_until(lambda: store.jobs.counts()[state] == 1, what=f"the job to be {state}")
    stop.set()
    thread.join(10)
    assert len(asked) == 3
    [(_, message)] = store.outbox.pending(10, time.time())
    diagnosis = Diagnosis.model_validate_json(message.payload)
    assert diagnosis.source == "rules"
    assert diagnosis.fault
    assert diagnosis.fault.id == "clogged"
    store.close()


def test_fault_18_a_job_that_kills_the_agent_is_answered_by_the_rules_in_the_end(
    tmp_path: Path,
) -> None:
    settings = StoreSection(ballast_mb=0)
    store = Store.open(tmp_path, settings)
    store.jobs.enqueue(job(created_at=time.time()))
    for _ in range(3):
        assert store.jobs.claim(time.time())
        store.close()  # the agent dies while the job runs
        store = Store.open(tmp_path, settings)
        store.jobs.requeue_running()

    def deadly(_request: CompletionRequest, _cancelled: Callable[[], bool]) -> Completion:
        raise AssertionError("the model is not asked a fourth time")

    loop = loop_on(store, deadly)
    claimed = store.jobs.claim(time.time())
    assert claimed
    loop.work(claimed, threading.Event())
    [(_, message)] = store.outbox.pending(10, time.time())
    assert Diagnosis.model_validate_json(message.payload).source == "rules"
    store.close()
