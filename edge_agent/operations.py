"""What an operator can ask of a running agent: the handlers behind ``…/cmd/{name}``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self, cast
from uuid import uuid4

from pydantic import AwareDatetime, Field, model_validator

from edge_agent.config.detect import DetectSection
from edge_agent.config.section import Section
from edge_agent.detect.feedback import Opinion
from edge_agent.domain.card import Card
from edge_agent.domain.feedback import Feedback, Verdict, confirmed
from edge_agent.domain.finding import Finding
from edge_agent.domain.job import Job
from edge_agent.errors import EdgeAgentError
from edge_agent.hindsight import LEAST_ROWS, look_back
from edge_agent.intake import Intake
from edge_agent.rollout.commands import Command, CommandContext, CommandRequest
from edge_agent.store.database import Store

ON_DEMAND_EXPIRES_S = 600.0
INCIDENTS_SEARCHED = 200


class EquipmentRequest(CommandRequest):
    """A request about one machine."""

    equipment: str = Field(min_length=1, max_length=200)
    """Its name in the telemetry."""


class TimeWindow(Section):
    """A stretch of the machine's own time."""

    start: AwareDatetime
    end: AwareDatetime

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.start >= self.end:
            raise ValueError("the end comes after the start")
        return self


class DiagnoseRequest(EquipmentRequest):
    """Look at this machine now, or at a time gone by."""

    window: TimeWindow | None = None
    """Look at this time; the last half hour of rows is remembered, and every incident."""
    question: str | None = Field(default=None, max_length=500)
    """What the operator wants to know; the model sees it as data."""


class StatusAnswer(Section):
    """The health report."""

    health: dict[str, Any]


class RebaselineAnswer(Section):
    """The machine is being learned anew."""

    equipment: str
    state: str


class DiagnoseAnswer(Section):
    """The job is queued. The diagnosis itself follows on the same response topic, with the same
    correlation data, and on ``…/diagnosis/{equipment}``."""

    equipment: str
    diagnosis_id: str


class FeedbackRequest(CommandRequest):
    """An operator's word on an incident."""

    incident_id: str = Field(min_length=1, max_length=100)
    verdict: Verdict | None = None
    """``true``, ``false_alarm``, ``expected``, ``fault``; absent: take back what was said."""
    fault: str | None = Field(default=None, max_length=64)
    """With ``fault``: which fault of the card it was."""
    note: str = Field(default="", max_length=500)


class FeedbackAnswer(Section):
    """What follows from it."""

    incident_id: str
    equipment: str
    verdict: Verdict | None
    muted: dict[str, str]
    """Pictures of the machine that are heard less, each with what was said of it."""
    confirmed: dict[str, int]
    """Fault → how often operators have named it for this machine."""


class FreezeRequest(EquipmentRequest):
    """Hold or release what is normal for a machine."""

    on: bool = True
    """True holds it, False lets it follow again."""


class FreezeAnswer(Section):
    """How the machine's baseline stands."""

    equipment: str
    frozen: bool


OPINIONS: dict[Verdict | None, Opinion] = {
    "true": Opinion.TRUE,
    "fault": Opinion.TRUE,
    "false_alarm": Opinion.FALSE_ALARM,
    "expected": Opinion.EXPECTED,
    None: Opinion.WITHDRAWN,
}
"""What detection makes of a verdict."""


class Impossible(EdgeAgentError):
    """The command is well formed but cannot be carried out."""


@dataclass(frozen=True, slots=True)
class Operations:
    """Carries out commands on the parts of a running agent."""

    store: Store
    intake: Intake
    report: Callable[[], dict[str, Any]]
    wake: Callable[[], None]
    card_for: Callable[[str], Card | None]
    detect: Callable[[], DetectSection] = DetectSection
    """How detection is set, as the settings have it now."""

    def commands(self) -> tuple[Command, ...]:
        """The commands that this agent answers, for the registry."""
        return (
            Command("status", "Health, now.", CommandRequest, StatusAnswer, self.status),
            Command(
                "diagnose",
                "Diagnose a machine as it is now.",
                DiagnoseRequest,
                DiagnoseAnswer,
                self.diagnose,
            ),
            Command(
                "rebaseline",
                "Forget what is normal for a machine and learn it again.",
                EquipmentRequest,
                RebaselineAnswer,
                self.rebaseline,
            ),
            Command(
                "freeze",
                "Hold what is normal for a machine as it is, or let it follow again.",
                FreezeRequest,
                FreezeAnswer,
                self.freeze,
            ),
            Command(
                "feedback",
                "Say whether an incident was right and what it was; no verdict: take it back.",
                FeedbackRequest,
                FeedbackAnswer,
                self.feedback,
            ),
        )

    def local(self, request: dict[str, Any]) -> dict[str, Any]:
        """What `edge-agent jobs` asks of us: ``{"jobs": "retry" | "drop", "id": …}``."""
        job_id = str(request.get("id"))
        match request.get("jobs"):
            case "retry":
                self.store.jobs.release(job_id)
                self.wake()
                return {"job": job_id, "state": "queued"}
            case "drop":
                self.store.jobs.drop(job_id)
                return {"job": job_id, "state": "dropped"}
        raise Impossible("the running agent does not know this request; is it of another version?")

    def status(self, _request: CommandRequest, _context: CommandContext) -> StatusAnswer:
        """The health report, now."""
        return StatusAnswer(health=self.report())

    def rebaseline(self, request: EquipmentRequest, _context: CommandContext) -> RebaselineAnswer:
        """Forget what is normal for this machine and learn it again."""
        if not self.intake.ask(lambda detection: detection.reset(request.equipment)):
            raise Impossible(_unknown(request.equipment))
        return RebaselineAnswer(equipment=request.equipment, state="learning")

    def feedback(self, request: FeedbackRequest, context: CommandContext) -> FeedbackAnswer:
        """Keep or take back what an operator says of an incident."""
        incident = self.store.incidents.get(request.incident_id)
        if incident is None:
            raise Impossible(f"no incident {request.incident_id!r} is kept here")
        self._check_fault(request, incident.equipment)
        jobs = self.store.jobs.of_incident(incident.incident_id)
        pictures = dict.fromkeys(one.fingerprint for one in (incident, *(j.finding for j in jobs)))
        if request.verdict is None:
            self.store.feedback.forget(request.incident_id)
        else:
            self.store.feedback.put(
                Feedback(
                    incident_id=incident.incident_id,
                    equipment=incident.equipment,
                    fingerprints=tuple(pictures),
                    verdict=request.verdict,
                    fault=request.fault,
                    note=request.note,
                    opened_at=incident.opened_at,
                    given_at=context.now,
                )
            )
        opinion = OPINIONS[request.verdict]
        muted = self.intake.hear(incident.equipment, list(pictures), opinion)
        return FeedbackAnswer(
            incident_id=incident.incident_id,
            equipment=incident.equipment,
            verdict=request.verdict,
            muted={picture: str(one.opinion) for picture, one in muted.items()},
            confirmed=confirmed(self.store.feedback.of_equipment(incident.equipment)),
        )

    def freeze(self, request: FreezeRequest, _context: CommandContext) -> FreezeAnswer:
        """Hold what is normal for this machine as it is, or let it follow again."""
        if not self.intake.ask(lambda detection: detection.freeze(request.equipment, request.on)):
            raise Impossible(_unknown(request.equipment))
        return FreezeAnswer(equipment=request.equipment, frozen=request.on)

    def _check_fault(self, request: FeedbackRequest, equipment: str) -> None:
        if (request.fault is not None) != (request.verdict == "fault"):
            raise Impossible("verdict fault and the name of the fault go together")
        card = self.card_for(equipment)
        known = [fault.id for fault in card.faults] if card else []
        if request.fault is not None and request.fault not in known:
            raise Impossible(
                f"no fault {request.fault!r} stands in the card of {equipment}; it has: "
                f"{', '.join(known) or 'none'}"
            )

    def diagnose(self, request: DiagnoseRequest, context: CommandContext) -> DiagnoseAnswer:
        """Queue a diagnosis of the machine as it is now or was then, ahead of all others."""
        finding = self.intake.ask(lambda detection: detection.current(request.equipment))
        if not isinstance(finding, Finding):
            raise Impossible(_unknown(request.equipment))
        if request.window is not None:
            finding = self._at(finding, request.window)
        job_id = _demand_id(request, context)
        job = Job(
            id=job_id,
            incident_id=job_id,
            equipment=request.equipment,
            finding=finding.model_copy(update={"incident_id": job_id}),
            priority=0,
            created_at=context.now,
            expires_at=context.now + ON_DEMAND_EXPIRES_S,
            trigger="demand",
            question=request.question,
            response_topic=context.response_topic,
            correlation_data=context.correlation_data.hex() if context.correlation_data else None,
        )
        self.store.jobs.enqueue(job)
        self.wake()
        return DiagnoseAnswer(equipment=request.equipment, diagnosis_id=job_id)

    def _at(self, now: Finding, window: TimeWindow) -> Finding:
        """The machine as it was then: from the rows that are remembered, else the incident of that
        time. ``now``: as it is."""
        equipment, start, end = now.equipment, window.start.timestamp(), window.end.timestamp()
        rows = self.intake.recall(equipment, start, end)
        if len(rows) >= LEAST_ROWS:
            kept = self.intake.ask(lambda detection: detection.snapshots_of([equipment]))
            snapshot = cast("dict[str, bytes]", kept)[equipment]
            found = look_back(rows, now, snapshot, self.detect(), self.card_for)
            if found is not None:
                return found
        met = [
            one
            for one in self.store.incidents.recent(equipment, INCIDENTS_SEARCHED)
            if one.opened_at <= end and (one.closed_at or one.at) >= start
        ]
        if met:
            return met[0].model_copy(update={"sequence": 0})
        span = self.intake.remembered(equipment)
        kept_text = f"rows from {_told(span[0])} to {_told(span[1])}" if span else "no rows"
        raise Impossible(
            f"of {equipment} {kept_text} are remembered, {len(rows)} of them in the window, which "
            f"takes {LEAST_ROWS}; nor is an incident of that time kept"
        )


def _told(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _demand_id(request: DiagnoseRequest, context: CommandContext) -> str:
    """The same request, sent again because we died before its acknowledgement, is the same job."""
    name = request.id or (context.correlation_data or b"").hex()
    if not name:
        return f"demand-{uuid4()}"
    digest = hashlib.sha256(f"{request.equipment}\0{context.response_topic}\0{name}".encode())
    return f"demand-{digest.hexdigest()[:32]}"


def _unknown(equipment: str) -> str:
    return (
        f"no machine {equipment!r} has been learned; `cmd/status` lists the machines under "
        "`equipment`"
    )
