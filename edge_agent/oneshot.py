"""One diagnosis of a recording, without a broker and without a store: the same stages, by hand."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from edge_agent.config.settings import Settings
from edge_agent.detect.detection import Detection
from edge_agent.diagnose.remaking import Remade, remake
from edge_agent.diagnose.runner import Desk, DiagnosisLoop
from edge_agent.domain.audit import DiagnosisRecord
from edge_agent.domain.card import Card
from edge_agent.domain.completion import Completion, CompletionRequest
from edge_agent.domain.diagnosis import Diagnosis
from edge_agent.domain.finding import Finding, IncidentPhase, Window
from edge_agent.domain.job import Job, JobState
from edge_agent.domain.level import Allowance, Spent
from edge_agent.domain.telemetry import Reading
from edge_agent.errors import BadConfig, BadPayload, Unavailable
from edge_agent.govern.governor import Governor
from edge_agent.inference.catalog import resolve
from edge_agent.inference.client import WorkerClient
from edge_agent.recording import Recording
from edge_agent.store.manuals import Manuals

log = structlog.get_logger(__name__)

AGENT_ID = "local"


@dataclass(frozen=True, slots=True)
class Look:
    """Which moment of a recording was looked at."""

    row: int
    """0-based."""
    finding: Finding
    opened: bool
    """An incident was open then; otherwise the evidence is that of a quiet machine."""


def look(recording: Recording, card: Card, settings: Settings, at: int | None) -> Look:
    """Run detection over ``recording`` up to row ``at``, or to the first settled incident, or to
    the end. Raises ``BadPayload`` where there is nothing to look at."""
    rows = len(recording.times)
    if at is not None and not 0 <= at < rows:
        raise BadPayload(f"{recording.path}: there is no row {at}; it has rows 0 to {rows - 1}")
    equipment = machine_name(card)
    detection = Detection(settings.detect, lambda _name: card, AGENT_ID)
    opened = False
    settle_s = settings.diagnose.settle_s
    row = 0
    for row, (when, values) in enumerate(recording.rows()):
        readings = [Reading(equipment, name, value, when) for name, value in values.items()]
        for finding in detection.observe(readings):
            opened = finding.phase is not IncidentPhase.CLOSED
            settled = (
                finding.phase is IncidentPhase.UPDATED and when - finding.opened_at >= settle_s
            )
            if at is None and settled:
                return Look(row, finding, opened=True)
        if row == at:
            break
    current = detection.current(equipment)
    if current is None:
        raise BadPayload(
            f"{recording.path}: after row {row} the machine is still being learned; normal "
            f"operation takes {settings.detect.learn_rows} rows (--learn)"
        )
    return Look(row, current, opened)


def again(record: DiagnosisRecord, settings: Settings, *, recorded_answer: bool) -> Remade:
    """Make a recorded diagnosis again, with the model that it names where it is still there."""
    if recorded_answer or record.completion is None:
        return remake(record, None)
    models_dir = settings.models_dir
    named = record.completion.model.name
    inference = settings.inference
    if Path(inference.model).stem != named:
        try:
            resolve(named, models_dir)
        except BadConfig:
            log.warning("recorded_model_not_here", model=named, instead=inference.model)
        else:
            inference = inference.model_copy(update={"model": named})
    with _worker(settings.model_copy(update={"inference": inference})) as (client, _, _):
        return remake(record, lambda request: client.complete(request, lambda: False))


@contextmanager
def _worker(settings: Settings) -> Iterator[tuple[WorkerClient, Governor, Path]]:
    """A worker of our own beside whatever runs, the governor that bounds its memory, and a folder
    for what they leave."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-agent-")))
        governor = Governor(settings.govern, clock=time.time, monotonic=time.monotonic, state=None)
        client = WorkerClient(
            settings.inference,
            runtime_dir=folder,
            models_dir=settings.models_dir,
            memory_limit_mb=governor.worker_memory_mb,
        )
        stack.callback(client.close, 0.0)
        yield client, governor, folder


def machine_name(card: Card) -> str:
    """The name that a recording's machine goes by: the card's, without its pattern."""
    return card.equipment.replace("*", "").strip("-_.") or "machine"


def row_of(recording: Recording, place: str) -> int:
    """A row by its number from 0, or the first at or after a time (RFC 3339). Raises
    ``BadPayload``."""
    if place.isdigit():
        return int(place)
    try:
        moment = datetime.fromisoformat(place)
    except ValueError:
        raise BadPayload(
            f"{place!r} is no row number and no time such as 2026-11-23T06:00:00Z"
        ) from None
    if recording.time_kind != "unix":
        raise BadPayload(f"{recording.path} counts its times from its start; name rows instead")
    at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return min(int(recording.times.searchsorted(at)), len(recording.times) - 1)


def seen_since(found: Look, recording: Recording, first: int) -> Finding:
    """What was found, about the rows from ``first`` to it. Raises ``BadPayload``."""
    if not 0 <= first < found.row:
        raise BadPayload(f"the window begins at row {first} and ends at row {found.row}")
    times = recording.times
    window = Window(start=float(times[first]), end=float(times[found.row]))
    return found.finding.model_copy(update={"window": window})


def diagnose(
    finding: Finding,
    card: Card,
    settings: Settings,
    *,
    rules_only: bool,
    question: str | None = None,
) -> Diagnosis:
    """The diagnosis of one finding, with the model of ``settings`` or by the rules alone."""
    done: list[Diagnosis] = []
    waiting: list[Job] = [
        Job(
            id=f"{finding.incident_id}-{finding.sequence}",
            incident_id=finding.incident_id,
            equipment=finding.equipment,
            finding=finding,
            created_at=time.time(),
            attempts=1,
            trigger="demand",
            question=question,
        )
    ]

    def finish(record: DiagnosisRecord, _state: JobState) -> None:
        done.append(record.diagnosis)

    with _worker(settings) as (client, governor, folder):

        def complete(request: CompletionRequest, _cancelled: object) -> Completion:
            if rules_only:
                raise Unavailable("the rules alone were asked for")
            return client.complete(request, lambda: False)

        def charge(completion: Completion | None, wall_s: float, cpu_s: float) -> Spent:
            tokens = (completion.tokens_in, completion.tokens_out) if completion else (0, 0)
            return governor.charge(wall_s, cpu_s, *tokens, joules=None)

        def admit(job: Job) -> Allowance:
            return governor.admit(job.priority, settings.diagnose.max_tokens)

        def retry(_job_id: str, _not_before: float, _error: str) -> None:
            waiting.append(job.model_copy(update={"attempts": job.attempts + 1}))

        desk = Desk(
            claim=lambda: None,
            finish=finish,
            retry=retry,
            put_back=waiting.append,
            overtaken=lambda _job: False,
            admit=admit,
            charge=charge,
            complete=complete,
            search=Manuals(folder, lambda: settings.diagnose.manuals).search,
        )
        attempts = 1 if rules_only else settings.diagnose.attempts
        once = settings.diagnose.model_copy(update={"attempts": attempts})
        loop = DiagnosisLoop(desk, once, lambda _name: card, AGENT_ID)
        while waiting:
            job = waiting.pop()
            loop.work(job, threading.Event())
    return done[0]
