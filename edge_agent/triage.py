"""Which findings become work for the diagnosis loop. Pure: values and ``now`` in, a job out."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.detect.storm import EQUIPMENT as STORM
from edge_agent.domain.finding import Finding, IncidentPhase, Origin
from edge_agent.domain.job import Job, JobState, job_id_for

SETTLE_SLACK = 2.0
"""The job of an opened incident waits this many settling times. Normally the settled picture
replaces it before that; where telemetry ends or the daemon restarts, it runs with what it has."""

FADED = 0.5
"""A picture with less than this share of the score of the one that waits does not replace it."""

_SENSOR_PRIORITY = 2
_MACHINE_PRIORITY = 1


def job_for(
    finding: Finding,
    previous: Sequence[Job],
    *,
    settle_s: float,
    per_incident: int,
    expire_s: float,
    now: float,
) -> Job | None:
    """The job that ``finding`` calls for, given the jobs that its incident has had.

    An opening gets a job at once, in the same transaction, so that no crash can lose it; the
    first settled picture takes its place, and each later one while it waits, unless the incident
    fades: what waits then shows it better. A picture that changes later is diagnosed again, up to
    ``per_incident`` times. A closing needs none, nor does a storm, whose members have their own.
    ``now``: wall clock, Unix seconds.
    """
    if finding.equipment == STORM:
        return None
    queued = [job for job in previous if job.state is JobState.QUEUED]
    if any(finding.score < FADED * job.finding.score for job in queued):
        return None
    waiting = bool(queued)
    counted = [job for job in previous if job.state is not JobState.SUPERSEDED]
    match finding.phase:
        case IncidentPhase.OPENED if not previous:
            return _job(finding, now + SETTLE_SLACK * settle_s, expire_s, now)
        case IncidentPhase.UPDATED if waiting or not counted:
            return _job(finding, now, expire_s, now)
        case IncidentPhase.UPDATED if len(counted) < per_incident and all(
            job.finding.fingerprint != finding.fingerprint for job in counted
        ):
            return _job(finding, now, expire_s, now)
        case _:
            return None


def _job(finding: Finding, not_before: float, expire_s: float, now: float) -> Job:
    return Job(
        id=job_id_for(finding),
        incident_id=finding.incident_id,
        equipment=finding.equipment,
        finding=finding,
        priority=_SENSOR_PRIORITY if finding.origin is Origin.SENSOR else _MACHINE_PRIORITY,
        created_at=now,
        not_before=not_before,
        expires_at=now + expire_s,
    )
