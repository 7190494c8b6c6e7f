"""A published diagnosis can be looked into and made again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
from pump_cases import completion, finding_of, job_of, pump_card
from typer.testing import CliRunner
from workers import Make, never

from edge_agent.cli import app
from edge_agent.config.diagnose import DiagnoseSection
from edge_agent.config.settings import StoreSection
from edge_agent.diagnose.remaking import remake
from edge_agent.diagnose.runner import Desk, DiagnosisLoop
from edge_agent.domain.audit import DiagnosisRecord
from edge_agent.domain.completion import Completion, CompletionRequest
from edge_agent.domain.job import Job, JobState
from edge_agent.domain.level import Allowance, Level, Spent
from edge_agent.errors import Unavailable
from edge_agent.simulate.faults import FaultName
from edge_agent.store.database import Store

FLOW_FELL = completion('{"explanation": "The flow fell.", "evidence": ["e1"]}')
Ask = Callable[[CompletionRequest, Callable[[], bool]], Completion]


def recorded(store: Store, complete: Ask, fault: FaultName = FaultName.LEAK) -> DiagnosisRecord:
    """The diagnosis of a fault through the loop, with its record as the store gives it back."""
    kept: list[str] = []

    def finish(record: DiagnosisRecord, state: JobState) -> None:
        with store.transaction():
            store.jobs.finish(record.circumstances.job, state)
            store.records.put(record)
        kept.append(record.circumstances.job.id)

    desk = Desk(
        claim=lambda: None,
        finish=finish,
        retry=lambda _job, _at, why: pytest.fail(why),
        put_back=lambda _job: pytest.fail("it may go at once"),
        overtaken=lambda _job: False,
        admit=lambda _: Allowance(Level.FULL, "test", threads=1),
        charge=lambda _c, wall, cpu: Spent(wall, cpu, 1.0, measured=False),
        complete=complete,
    )
    store.jobs.enqueue(job_of(finding_of(fault), attempts=0))
    job = store.jobs.claim(2e9)
    assert job is not None
    loop = DiagnosisLoop(desk, DiagnoseSection(), lambda _: pump_card(), "gw")
    loop.work(job, threading.Event())
    found = store.records.get(kept[0])
    assert found is not None
    return found


@pytest.fixture
def store(tmp_path: Path):  # type: ignore[no-untyped-def]
    with_room = Store.open(tmp_path / "state", StoreSection(ballast_mb=0))
    yield with_room
    with_room.close()


@pytest.mark.model
def test_the_real_model_says_the_same_again(store: Store, make: Make) -> None:
    record = recorded(store, make(model="smollm2-135m", context=4096).complete)
    assert record.completion is not None
    assert record.completion.sampling["temperature"] > 0  # drawn, not the most probable
    other = make(model="smollm2-135m", context=4096)  # another process, with nothing in its cache
    again = remake(record, lambda request: other.complete(request, never))
    assert again.asked_model
    assert again.changed == ()
    assert again.differences == ()
    assert again.diagnosis == record.diagnosis
    warm = remake(record, lambda request: other.complete(request, never))
    assert warm.identical


def test_what_changed_since_is_told(store: Store) -> None:
    record = recorded(store, lambda _request, _cancelled: FLOW_FELL)

    def another(_request: CompletionRequest) -> Completion:
        identity = FLOW_FELL.model.model_copy(update={"sha256": "1" * 64})
        text = '{"explanation": "The discharge pressure fell.", "evidence": []}'
        return FLOW_FELL.model_copy(update={"model": identity, "text": text})

    given = record.circumstances
    older = given.program.model_copy(update={"rules_sha256": "0" * 64})
    record = record.model_copy(
        update={"circumstances": given.model_copy(update={"program": older})}
    )
    again = remake(record, another)
    assert not again.identical
    assert {one.what for one in again.changed} == {
        "program.rules_sha256",
        "model_sha256",
        "answer",
    }
    assert {one.what for one in again.differences} == {"explanation", "model"}


def test_without_the_model_its_recorded_answer_serves(store: Store) -> None:
    record = recorded(store, lambda _request, _cancelled: FLOW_FELL)
    assert remake(record, None).identical

    def gone(_request: CompletionRequest) -> Completion:
        raise Unavailable("the file is gone")

    again = remake(record, gone)
    assert again.identical
    assert (again.asked_model, again.not_asked) == (False, "the file is gone")


def test_show_and_replay_on_the_command_line(store: Store, tmp_path: Path) -> None:
    record = recorded(store, lambda _request, _cancelled: FLOW_FELL)
    job_id = record.circumstances.job.id
    config = tmp_path / "edge-agent.toml"
    config.write_text(tomli_w.dumps({"store": {"state_dir": str(tmp_path / "state")}}))
    run = CliRunner()
    shown = run.invoke(app, ["jobs", "show", job_id, "--config", str(config), "--json"])
    document = json.loads(shown.stdout)
    assert document["state"] == "done"
    assert document["record"]["request"]["seed"] == record.request.seed  # type: ignore[union-attr]
    assert document["record"]["circumstances"]["card"]["equipment"] == "simulated-pump"
    again = ["jobs", "replay", job_id, "--config", str(config), "--recorded-answer"]
    assert run.invoke(app, again).stdout.startswith(f"{job_id}: identical")
    result = run.invoke(app, [*again, "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["identical"] is True
    missing = run.invoke(app, ["jobs", "replay", "nope", "--config", str(config)])
    assert missing.exit_code == 1


def test_records_go_with_their_jobs_and_stay_within_their_bound(store: Store) -> None:
    first = recorded(store, lambda _request, _cancelled: FLOW_FELL)
    second = recorded(store, lambda _request, _cancelled: FLOW_FELL, FaultName.BEARING_WEAR)
    names = [one.circumstances.job.id for one in (first, second)]
    assert store.records.of_incident(second.circumstances.job.incident_id) == second
    store.records.bound(store.records.taken() - 1)
    assert store.records.prune() == 1
    assert [store.records.get(name) is not None for name in names] == [False, True]
    store.jobs.drop(names[1])
    assert store.records.get(names[1]) is None
    store.records.prune()
    store.records.shed()
    assert store.records.prune() == 0


def test_a_record_that_this_version_cannot_read_is_none(store: Store) -> None:
    record = recorded(store, lambda _request, _cancelled: FLOW_FELL)
    store.records._connection.change("UPDATE records SET document = ?", (b"nonsense",))
    assert store.records.get(record.circumstances.job.id) is None


def test_a_job_is_recorded_as_it_was_claimed(store: Store) -> None:
    record = recorded(store, lambda _request, _cancelled: FLOW_FELL)
    job: Job = record.circumstances.job
    assert (job.state, job.attempts) == (JobState.RUNNING, 1)
    assert record.diagnosis.diagnosis_id == job.id
