"""An alarm flood over many machines becomes one storm incident with its members. Pure.

When a power dip or a lost switch makes a dozen machines alarm within a minute, a person needs one
message that says so. The members stay incidents of their own; the storm only names them.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from edge_agent.domain.finding import Finding, IncidentPhase, Origin, Window
from edge_agent.errors import IllegalTransition

WINDOW_S = 60.0
MEMBERS_LEAST = 5
"""So many machines that open an incident within the window are a storm."""
CALM_S = 300.0
"""A storm is over once no machine joined for so long."""
MEMBERS_MAX = 500
NAMED = 20
"""Members that its reason names."""
EQUIPMENT = "storm"
"""Stands where a finding names its machine."""


class Weather(StrEnum):
    """Whether there is a storm."""

    CALM = "calm"
    STORM = "storm"


class Front(StrEnum):
    """What happened."""

    FLOODED = "flooded"
    PASSED = "passed"


TABLE: dict[tuple[Weather, Front], Weather] = {
    (Weather.CALM, Front.FLOODED): Weather.STORM,
    (Weather.STORM, Front.PASSED): Weather.CALM,
}
"""Every legal move."""


@dataclass(slots=True)
class Storm:
    """Watches the findings of all machines of one gateway."""

    agent_id: str
    weather: Weather = Weather.CALM
    recent: deque[tuple[float, str]] = field(default_factory=deque)
    """(gateway time, equipment) of incidents that opened within the window."""
    members: dict[str, float] = field(default_factory=dict)
    """Equipment → when it joined the storm."""
    joined_at: float = 0.0
    finding: Finding | None = None

    def observe(self, found: list[Finding], now: float) -> list[Finding]:
        """Take the findings of now (gateway time, seconds); those of the storm itself. Call it
        with an empty list every few seconds, so that a storm can end."""
        known = {equipment for _, equipment in self.recent}
        for one in found:
            if one.phase is IncidentPhase.OPENED and one.equipment not in known:
                self.recent.append((now, one.equipment))
                known.add(one.equipment)
        while self.recent and (
            now - self.recent[0][0] > WINDOW_S or len(self.recent) > MEMBERS_MAX
        ):
            self.recent.popleft()
        if self.weather is Weather.CALM:
            return self._opened(now) if len(self.recent) >= MEMBERS_LEAST else []
        new = {e: at for at, e in self.recent if e not in self.members}
        if new and len(self.members) < MEMBERS_MAX:
            self.members |= new
            self.joined_at = now
            return [self._next(IncidentPhase.UPDATED, now)]
        return self._passed(now) if now - self.joined_at >= CALM_S else []

    def move(self, front: Front) -> None:
        """One legal move. Raises ``IllegalTransition`` otherwise and changes nothing."""
        after = TABLE.get((self.weather, front))
        if after is None:
            raise IllegalTransition(f"when it is {self.weather} it cannot have {front}")
        self.weather = after

    def _opened(self, now: float) -> list[Finding]:
        self.move(Front.FLOODED)
        self.members = {equipment: at for at, equipment in self.recent}
        self.joined_at, self.finding = now, None
        return [self._next(IncidentPhase.OPENED, now)]

    def _passed(self, now: float) -> list[Finding]:
        self.move(Front.PASSED)
        closed = self._next(IncidentPhase.CLOSED, now)
        self.members, self.finding = {}, None
        self.recent.clear()
        return [closed]

    def _next(self, phase: IncidentPhase, now: float) -> Finding:
        before = self.finding
        start = before.opened_at if before else min(self.members.values())
        names = sorted(self.members)
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        text = f"{self.agent_id}\0storm\0{start:.3f}"
        self.finding = Finding(
            incident_id=hashlib.sha256(text.encode()).hexdigest()[:20],
            phase=phase,
            equipment=EQUIPMENT,
            opened_at=start,
            at=now,
            closed_at=now if phase is IncidentPhase.CLOSED else None,
            score=len(names) / MEMBERS_LEAST,
            origin=Origin.MACHINE,
            reason=f"{len(names)} machines alarmed together: {', '.join(names[:NAMED])}{more}",
            window=Window(start=start, end=now),
            evidence=(),
            fingerprint=EQUIPMENT,
            sequence=before.sequence + 1 if before else 0,
        )
        return self.finding
