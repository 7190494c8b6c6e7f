"""A piece of work for the diagnosis loop, and the states that it moves through."""

from __future__ import annotations

from enum import StrEnum

from edge_agent.domain.diagnosis import Trigger
from edge_agent.domain.finding import Finding, Record
from edge_agent.errors import IllegalTransition


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    QUARANTINED = "quarantined"
    """It failed too often; the rules' answer was published instead."""
    SUPERSEDED = "superseded"
    """A newer window of the same incident took its place before it ran."""
    EXPIRED = "expired"


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset(
        {JobState.RUNNING, JobState.SUPERSEDED, JobState.EXPIRED, JobState.QUARANTINED}
    ),
    JobState.RUNNING: frozenset(
        {JobState.DONE, JobState.QUEUED, JobState.QUARANTINED, JobState.EXPIRED}
    ),
    JobState.DONE: frozenset(),
    JobState.QUARANTINED: frozenset({JobState.QUEUED}),
    JobState.SUPERSEDED: frozenset(),
    JobState.EXPIRED: frozenset({JobState.QUEUED}),
}
"""Every legal move. ``RUNNING → QUEUED`` is a retry or the recovery after a crash; ``RUNNING →
EXPIRED``: claimed past its time, and answered by the rules."""


def check_transition(job_id: str, before: JobState, after: JobState) -> None:
    """Raise ``IllegalTransition`` unless the table holds the move."""
    if after not in TRANSITIONS[before]:
        allowed = ", ".join(sorted(TRANSITIONS[before])) or "nothing: it is final"
        raise IllegalTransition(f"job {job_id} is {before} and cannot become {after}; {allowed}")


class Job(Record):
    """One diagnosis to make. ``id`` is deterministic from incident and sequence."""

    id: str
    incident_id: str
    equipment: str
    finding: Finding
    priority: int = 1
    """Lower goes first."""
    state: JobState = JobState.QUEUED
    attempts: int = 0
    created_at: float
    """Wall clock, Unix seconds."""
    not_before: float = 0.0
    """Wall clock, Unix seconds; a retry waits until then."""
    expires_at: float | None = None
    last_error: str | None = None
    trigger: Trigger = "incident"
    question: str | None = None
    """What a person asked, for a diagnosis on demand."""
    response_topic: str | None = None
    correlation_data: str | None = None
    """Hexadecimal, echoed in the response to the command that asked."""


def job_id_for(finding: Finding) -> str:
    """Same finding, same job: what makes a redelivered message harmless."""
    return f"{finding.incident_id}-{finding.sequence}"
