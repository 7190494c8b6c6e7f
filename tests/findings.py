"""Findings, jobs and messages as tests need them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from edge_agent.domain.finding import Direction, Finding, IncidentPhase, SignalEvidence, Window
from edge_agent.domain.job import Job, job_id_for
from edge_agent.domain.outgoing import Outgoing, OutgoingPriority
from edge_agent.store.database import Store


def finding(
    incident: str = "i1",
    sequence: int = 0,
    phase: IncidentPhase = IncidentPhase.OPENED,
    equipment: str = "pump-1",
) -> Finding:
    return Finding(
        incident_id=incident,
        phase=phase,
        equipment=equipment,
        opened_at=1000.0,
        at=1000.0 + sequence,
        score=1.5,
        reason="flow fell",
        window=Window(start=900.0, end=1000.0 + sequence),
        evidence=(
            SignalEvidence(
                id="e1", signal="flow", baseline=10, now=5, sigma=-6, direction=Direction.DOWN
            ),
        ),
        fingerprint="pump-1:flow-down",
        sequence=sequence,
    )


def job(
    incident: str = "i1", sequence: int = 0, *, priority: int = 1, created_at: float = 1000.0
) -> Job:
    found = finding(incident, sequence)
    return Job(
        id=job_id_for(found),
        incident_id=incident,
        equipment=found.equipment,
        finding=found,
        priority=priority,
        created_at=created_at,
        expires_at=created_at + 86_400,
    )


def outgoing(
    key: str,
    priority: OutgoingPriority = OutgoingPriority.RESULT,
    *,
    topic: str = "edge/gw/incident/pump-1",
    payload: bytes = b"{}",
    expires_at: float | None = None,
    retain: bool = False,
) -> Outgoing:
    return Outgoing(topic, payload, key, priority, retain, expires_at)


class Undo(Exception):
    """Raised on purpose."""


@contextlib.contextmanager
def undone(store: Store) -> Iterator[None]:
    """A transaction that ends in an error, which undoes it."""
    with contextlib.suppress(Undo), store.transaction():
        yield
        raise Undo
