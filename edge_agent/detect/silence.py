"""A machine from which nothing comes any more: an instrument's or a network's fault. Pure.

Counted on the gateway's own clock from one call of ``silent`` to the next, since a source's clock
may be wrong, and a machine whose rows stopped coming has none.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.domain.finding import (
    Direction,
    Finding,
    IncidentPhase,
    Origin,
    SignalEvidence,
    Window,
)

LEAST_S, PERIODS = 60.0, 20.0
"""So long, and so many usual distances between rows, must nothing come."""
SCORE = 1.2
"""Score of a silence: enough to open."""
MEMORY = 0.05
"""Weight of the newest distance between rows in the usual one."""


@dataclass(slots=True)
class Silence:
    """Watches whether rows come at all."""

    usual_s: float = 0.0
    """Usual distance between rows in source time, seconds; 0 until there were two."""
    last_row: float | None = None
    """Source time of the last row."""
    rows_seen: int = -1
    since: float | None = None
    """The gateway's time when rows were last seen to have come."""

    def row(self, at: float) -> None:
        """A row came, of source time ``at``."""
        if self.last_row is not None and at > self.last_row:
            distance = at - self.last_row
            # One long pause is not a new habit.
            bounded = min(distance, 4.0 * self.usual_s) if self.usual_s else distance
            self.usual_s += (MEMORY if self.usual_s else 1.0) * (bounded - self.usual_s)
        self.last_row = at

    def silent(self, rows: int, now: float) -> bool:
        """Whether nothing came for too long; ``rows`` were taken so far, ``now`` is the
        gateway's time. The first call only begins to count."""
        if self.since is None or rows != self.rows_seen or now < self.since:
            self.rows_seen, self.since = rows, now
            return False
        return self.usual_s > 0 and now - self.since >= max(LEAST_S, PERIODS * self.usual_s)


def fell_silent(
    equipment: str,
    incident_id: str,
    at: float,
    usual_s: float,
    evidence: tuple[SignalEvidence, ...],
) -> Finding:
    """The incident of a machine whose last row came at source time ``at``; ``evidence`` as of
    then, ``usual_s`` the usual distance between its rows."""
    missing = {"direction": Direction.MISSING, "since": at}
    return Finding(
        incident_id=incident_id,
        phase=IncidentPhase.OPENED,
        equipment=equipment,
        opened_at=at,
        at=at,
        score=SCORE,
        origin=Origin.SENSOR,
        reason=f"nothing comes from {equipment} any more; usual is a row every {usual_s:.3g} s",
        window=Window(start=at, end=at),
        evidence=tuple(one.model_copy(update=missing) for one in evidence),
        fingerprint=f"{equipment}|silent",
    )


def speaks_again(before: Finding, at: float) -> Finding:
    """The end of that incident, with the row of source time ``at``."""
    return before.model_copy(
        update={
            "phase": IncidentPhase.CLOSED,
            "at": at,
            "closed_at": at,
            "sequence": before.sequence + 1,
            "window": Window(start=before.opened_at, end=at),
        }
    )
