"""Which findings become jobs."""

from __future__ import annotations

from typing import Any

from edge_agent.domain.finding import Finding, IncidentPhase, Origin, Window
from edge_agent.domain.job import Job, JobState
from edge_agent.triage import job_for

NOW = 1_000_000.0
LIMITS: dict[str, Any] = {"settle_s": 20, "per_incident": 2, "expire_s": 3600, "now": NOW}


def finding(
    phase: IncidentPhase, sequence: int = 0, fingerprint: str = "a", **more: Origin
) -> Finding:
    values: dict[str, Any] = {
        "incident_id": "i1",
        "phase": phase,
        "equipment": "pump",
        "opened_at": 0.0,
        "at": 0.0,
        "score": 2.0,
        "reason": "flow fell",
        "window": Window(start=0, end=1),
        "evidence": (),
        "fingerprint": fingerprint,
        "sequence": sequence,
        **more,
    }
    return Finding(**values)


def made(phase: IncidentPhase, state: JobState, sequence: int = 0, fingerprint: str = "a") -> Job:
    job = job_for(finding(IncidentPhase.OPENED, sequence, fingerprint), [], **LIMITS)
    assert job is not None
    return job.model_copy(update={"state": state})


def test_an_opening_is_queued_at_once_but_waits_for_the_picture_to_settle() -> None:
    job = job_for(finding(IncidentPhase.OPENED), [], **LIMITS)
    assert job is not None
    assert job.id == "i1-0"
    assert job.not_before == NOW + 40


def test_the_settled_picture_replaces_the_waiting_job_and_may_run_now() -> None:
    waiting = made(IncidentPhase.OPENED, JobState.QUEUED)
    job = job_for(finding(IncidentPhase.UPDATED, 1), [waiting], **LIMITS)
    assert job is not None
    assert (job.id, job.not_before) == ("i1-1", NOW)


def test_the_same_picture_is_not_diagnosed_twice() -> None:
    done = made(IncidentPhase.UPDATED, JobState.DONE, 1)
    assert job_for(finding(IncidentPhase.UPDATED, 2), [done], **LIMITS) is None


def test_a_changed_picture_is_diagnosed_again_up_to_the_limit() -> None:
    first = made(IncidentPhase.UPDATED, JobState.DONE, 1, "a")
    again = job_for(finding(IncidentPhase.UPDATED, 2, "b"), [first], **LIMITS)
    assert again is not None
    second = made(IncidentPhase.UPDATED, JobState.DONE, 2, "b")
    assert job_for(finding(IncidentPhase.UPDATED, 3, "c"), [first, second], **LIMITS) is None


def test_a_redelivered_opening_and_a_closing_make_no_job() -> None:
    waiting = made(IncidentPhase.OPENED, JobState.QUEUED)
    assert job_for(finding(IncidentPhase.OPENED), [waiting], **LIMITS) is None
    assert job_for(finding(IncidentPhase.CLOSED, 1), [waiting], **LIMITS) is None


def test_a_broken_sensor_goes_after_a_broken_machine() -> None:
    machine = job_for(finding(IncidentPhase.OPENED), [], **LIMITS)
    sensor = job_for(finding(IncidentPhase.OPENED, origin=Origin.SENSOR), [], **LIMITS)
    assert machine is not None
    assert sensor is not None
    assert machine.priority < sensor.priority


def test_a_fading_picture_does_not_replace_the_one_that_waits() -> None:
    waiting = made(IncidentPhase.OPENED, JobState.QUEUED)
    faded = finding(IncidentPhase.UPDATED, 1).model_copy(update={"score": 0.9})
    assert job_for(faded, [waiting], **LIMITS) is None
    weaker = faded.model_copy(update={"score": 1.1})
    assert job_for(weaker, [waiting], **LIMITS) is not None
