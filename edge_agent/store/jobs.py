"""The queue of diagnoses to make. Every move is checked against the table in ``job``."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence

from edge_agent.domain.job import Job, JobState, check_transition
from edge_agent.errors import EdgeAgentError
from edge_agent.store.connection import Connection

DONE_KEPT = 2_000
"""Finished jobs kept for ``jobs list``; the oldest go first."""
MAX_WAIT_S = 3_600.0
"""No retry waits longer. A job whose ``not_before`` lies further ahead met a clock that jumped,
and goes at once."""

_READY = "state = 'queued' AND (not_before <= :now OR not_before > :now + :max_wait)"


class UnknownJob(EdgeAgentError):
    """No job has that id; ``edge-agent jobs list`` shows those that there are."""


class Jobs:
    """Jobs by id, each in one state."""

    def __init__(self, connection: Connection, clock: Callable[[], float] = time.time) -> None:
        self._connection = connection
        self._clock = clock

    def enqueue(self, job: Job) -> bool:
        """Queue ``job``; False if its id is known, whatever became of it.

        A queued job of the same incident is superseded: its window is older. One that runs, or
        that a person asked for, goes on.
        """
        with self._connection.transaction():
            added = self._connection.change(
                "INSERT OR IGNORE INTO jobs (id, incident_id, equipment, on_demand, priority,"
                " state, attempts, created_at, not_before, expires_at, changed_at, last_error,"
                " document)"
                " VALUES (?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?)",
                (
                    job.id,
                    job.incident_id,
                    job.equipment,
                    _on_demand(job),
                    job.priority,
                    job.attempts,
                    job.created_at,
                    job.not_before,
                    job.expires_at,
                    self._clock(),
                    job.last_error,
                    job.model_dump_json(),
                ),
            )
            if added and not _on_demand(job):
                self._connection.change(
                    "UPDATE jobs SET state = 'superseded', changed_at = ? WHERE incident_id = ?"
                    " AND state = 'queued' AND on_demand = 0 AND id <> ?",
                    (self._clock(), job.incident_id, job.id),
                )
        return bool(added)

    def claim(self, now: float) -> Job | None:
        """The most urgent job that may start at ``now`` (wall clock, Unix seconds), now running
        and with this attempt counted, so that a job which kills the agent is parked in the end."""
        with self._connection.transaction():
            rows = self._connection.execute(
                "UPDATE jobs SET state = 'running', attempts = attempts + 1, changed_at = :now"  # noqa: S608
                f" WHERE id = (SELECT id FROM jobs WHERE {_READY}"
                " ORDER BY priority, created_at, rowid LIMIT 1) RETURNING *",
                {"now": now, "max_wait": MAX_WAIT_S},
            )
        return _job(rows[0]) if rows else None

    def finish(self, job: Job, state: JobState) -> None:
        """Put ``job`` into a final state; in one transaction with its outbox row. Raises
        ``IllegalTransition``."""
        self._move([job.id], state)

    def retry(self, job_id: str, not_before: float, error: str) -> None:
        """Queue a running job again, not before that wall-clock time, and keep why."""
        with self._connection.transaction():
            self._move([job_id], JobState.QUEUED)
            self._connection.change(
                "UPDATE jobs SET not_before = ?, last_error = ? WHERE id = ?",
                (not_before, error[:2000], job_id),
            )

    def put_back(self, job_id: str) -> None:
        """Queue a claimed job that never began; the claim's attempt is not counted."""
        with self._connection.transaction():
            self._move([job_id], JobState.QUEUED)
            self._connection.change(
                "UPDATE jobs SET attempts = max(0, attempts - 1) WHERE id = ?", (job_id,)
            )

    def overtaken(self, priority: int, now: float) -> bool:
        """Whether a job more urgent than ``priority`` may start at ``now``."""
        rows = self._connection.execute(
            f"SELECT EXISTS (SELECT 1 FROM jobs WHERE {_READY} AND priority < :priority)",  # noqa: S608
            {"now": now, "max_wait": MAX_WAIT_S, "priority": priority},
        )
        return bool(rows[0][0])

    def requeue_running(self) -> int:
        """At start: what was running when the agent ended runs again; its attempt stays counted."""
        return self._connection.change(
            "UPDATE jobs SET state = 'queued', changed_at = ?,"
            " last_error = coalesce(last_error, 'the agent ended while it ran')"
            " WHERE state = 'running'",
            (self._clock(),),
        )

    def release(self, job_id: str) -> None:
        """A person wants it tried again, from the first attempt, now."""
        with self._connection.transaction():
            self._move([job_id], JobState.QUEUED)
            self._connection.change(
                "UPDATE jobs SET attempts = 0, not_before = 0, expires_at = NULL WHERE id = ?",
                (job_id,),
            )

    def drop(self, job_id: str) -> None:
        """A person wants it gone; a running one stays (``IllegalTransition``)."""
        with self._connection.transaction():
            job = self._require(job_id)
            if job.state is JobState.RUNNING:
                check_transition(job_id, job.state, JobState.SUPERSEDED)
            self._connection.change("DELETE FROM jobs WHERE id = ?", (job_id,))
            self._connection.change("DELETE FROM records WHERE job_id = ?", (job_id,))

    def get(self, job_id: str) -> Job | None:
        """One job."""
        rows = self._connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,))
        return _job(rows[0]) if rows else None

    def of_incident(self, incident_id: str) -> Sequence[Job]:
        """Every job that an incident has had, oldest first."""
        rows = self._connection.execute(
            "SELECT * FROM jobs WHERE incident_id = ? ORDER BY created_at, rowid", (incident_id,)
        )
        return [_job(row) for row in rows]

    def list(self, limit: int = 50, state: JobState | None = None) -> Sequence[Job]:
        """The newest jobs, newest first; all of them, or those in one state."""
        rows = self._connection.execute(
            "SELECT * FROM jobs WHERE ?1 IS NULL OR state = ?1"
            " ORDER BY created_at DESC, rowid DESC LIMIT ?2",
            (state, limit),
        )
        return [_job(row) for row in rows]

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        rows = self._connection.execute("SELECT state, count(*) AS n FROM jobs GROUP BY state")
        found = {row["state"]: row["n"] for row in rows}
        return {state: found.get(state.value, 0) for state in JobState}

    def prune(self, keep: int = DONE_KEPT) -> int:
        """Forget the oldest finished jobs beyond ``keep``, of them an eighth check-ups at most:
        what is routine must not drive out what happened. How many went."""
        routine = self._connection.change(
            "DELETE FROM jobs WHERE id GLOB 'checkup-*' AND state NOT IN ('queued', 'running') AND"
            " rowid NOT IN (SELECT rowid FROM jobs WHERE id GLOB 'checkup-*' AND state NOT IN"
            " ('queued', 'running') ORDER BY changed_at DESC, rowid DESC LIMIT ?)",
            (max(1, keep // 8),),
        )
        return routine + self._connection.change(
            "DELETE FROM jobs WHERE state NOT IN ('queued', 'running') AND rowid NOT IN"
            " (SELECT rowid FROM jobs WHERE state NOT IN ('queued', 'running')"
            " ORDER BY changed_at DESC, rowid DESC LIMIT ?)",
            (keep,),
        )

    def _require(self, job_id: str) -> Job:
        job = self.get(job_id)
        if job is None:
            raise UnknownJob(f"no job {job_id!r}; edge-agent jobs list shows those there are")
        return job

    def _move(self, job_ids: Sequence[str], state: JobState) -> None:
        with self._connection.transaction():
            for job_id in job_ids:
                check_transition(job_id, self._require(job_id).state, state)
                self._connection.change(
                    "UPDATE jobs SET state = ?, changed_at = ? WHERE id = ?",
                    (state, self._clock(), job_id),
                )


def _on_demand(job: Job) -> bool:
    return job.trigger == "demand" or job.question is not None


def _job(row: sqlite3.Row) -> Job:
    """The job as enqueued, with what changed since."""
    return Job.model_validate_json(row["document"]).model_copy(
        update={
            "state": JobState(row["state"]),
            "attempts": row["attempts"],
            "not_before": row["not_before"],
            "expires_at": row["expires_at"],
            "last_error": row["last_error"],
        }
    )
