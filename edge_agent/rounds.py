"""What is done without an incident: check-ups of quiet machines, and summaries of shifts.

Both go by the wall clock and wait until it can be right. Both are done once, also over a restart: a
check-up's job is named by its turn, a shift's end is kept with the messages that tell of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from edge_agent.casebook import Casebook
from edge_agent.config.settings import Settings
from edge_agent.detect.storm import EQUIPMENT as STORM
from edge_agent.diagnose.phrases import phrases_of
from edge_agent.diagnose.shift import area_of, summed_up
from edge_agent.domain.card import Card
from edge_agent.domain.finding import Finding, IncidentPhase, Window
from edge_agent.domain.job import Job
from edge_agent.domain.summary import SummaryIncident
from edge_agent.publish.message import summary_message
from edge_agent.timetable import DAY_S, last_shift, turn
from edge_agent.walltime import trusted

log = structlog.get_logger(__name__)

LOOK_S = 5.0
LOW_PRIORITY = 5
"""Behind every incident's diagnosis."""
QUIET = "quiet"
SHIFT = "shift"
"""Kind and name of the snapshot that holds the end of the last shift that was told."""


@dataclass
class Rounds:
    """Call ``tick`` about once a second."""

    casebook: Casebook
    settings: Callable[[], Settings]
    states: Callable[[], Mapping[str, str]]
    """Machine → how detection stands there."""
    current: Callable[[str], Finding | None]
    """A machine's evidence as of now."""
    card_for: Callable[[str], Card | None]
    wake: Callable[[], None]
    looked_at: float = 0.0
    turns: dict[str, int] = field(default_factory=dict)

    def tick(self, now: float) -> None:
        """Do what is due at ``now``, wall clock, Unix seconds. Raises ``Unavailable``."""
        if not trusted(now) or abs(now - self.looked_at) < LOOK_S:
            return
        self.looked_at = now
        report = self.settings().report
        if report.checkup_h > 0:
            self._check_up(now, report.checkup_h * 3600.0)
        shift = last_shift(now, report.shift_ends)
        if shift is not None and self._new(shift[1]):
            self._sum_up(Window(start=shift[0], end=shift[1]), now)

    def _check_up(self, now: float, period_s: float) -> None:
        states = self.states()
        self.turns = {name: at for name, at in self.turns.items() if name in states}
        for equipment, state in states.items():
            mine = turn(now, period_s, equipment)
            if state != QUIET or self.turns.get(equipment) == mine:
                continue
            finding = self.current(equipment)
            if finding is None:
                continue
            if self.casebook.store.jobs.enqueue(self._job(finding, mine, now, period_s)):
                log.info("checkup_due", equipment=equipment)
                self.wake()
            self.turns[equipment] = mine

    def _job(self, finding: Finding, mine: int, now: float, period_s: float) -> Job:
        name = f"{self.settings().agent.id}\0{finding.equipment}\0{period_s}\0{mine}"
        job_id = f"checkup-{hashlib.sha256(name.encode()).hexdigest()[:20]}"
        return Job(
            id=job_id,
            incident_id=job_id,
            equipment=finding.equipment,
            finding=finding.model_copy(update={"incident_id": job_id}),
            priority=LOW_PRIORITY,
            created_at=now,
            expires_at=now + max(600.0, period_s),
            trigger="checkup",
        )

    def _new(self, end: float) -> bool:
        """Whether this shift's end has not been told. The first one ever is only noted: what came
        before it, nobody watched. One from the far future met a clock that jumped."""
        told = self.casebook.store.snapshots.get(SHIFT, SHIFT)
        if told is None:
            self.casebook.store.snapshots.put(SHIFT, SHIFT, repr(end).encode())
            return False
        return float(told) < end or float(told) > end + DAY_S

    def _sum_up(self, window: Window, now: float) -> None:
        """One message for each area that has machines or incidents, all in one transaction."""
        settings, store = self.settings(), self.casebook.store
        incidents: dict[str, list[SummaryIncident]] = {name: [] for name in settings.report.areas}
        machines = dict.fromkeys(incidents, 0)
        for equipment in self.states():
            area = self._area(equipment)
            machines[area] = machines.get(area, 0) + 1
        for finding in store.incidents.since(window.start):
            if finding.equipment != STORM:
                told = self._told(finding)
                incidents.setdefault(self._area(finding.equipment), []).append(told)
        messages = [
            summary_message(
                self.casebook.root,
                summed_up(
                    area,
                    window,
                    incidents.get(area, []),
                    machines=machines.get(area, 0),
                    agent_id=settings.agent.id,
                    now=now,
                    phrases=phrases_of(settings.diagnose.language),
                ),
            )
            for area in {**machines, **incidents}
        ]
        with store.transaction():
            store.outbox.add(messages, now)
            store.snapshots.put(SHIFT, SHIFT, repr(window.end).encode())
        log.info(
            "shift_summed_up", areas=len(messages), incidents=sum(map(len, incidents.values()))
        )
        self.wake()

    def _area(self, equipment: str) -> str:
        card = self.card_for(equipment)
        return area_of(equipment, self.settings().report.areas, card.area if card else "")

    def _told(self, finding: Finding) -> SummaryIncident:
        store = self.casebook.store
        record = store.records.of_incident(finding.incident_id)
        diagnosis = record.diagnosis if record else None
        fault = diagnosis.fault if diagnosis else None
        said = store.feedback.of_incident(finding.incident_id)
        return SummaryIncident(
            incident_id=finding.incident_id,
            equipment=finding.equipment,
            opened_at=finding.opened_at,
            closed_at=finding.closed_at if finding.phase is IncidentPhase.CLOSED else None,
            reason=finding.reason,
            fault=fault.title if fault else None,
            probability=fault.probability if fault else None,
            severity=diagnosis.severity if diagnosis else None,
            operator=said.verdict if said else None,
        )
