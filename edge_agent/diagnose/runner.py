"""The diagnosis loop: one job at a time, and for each exactly one published diagnosis.

The rules' answer is there before any model is asked; the model may only make it better. Whatever
happens to the model (throttled, missing, late, wrong, killed) ends in a retry or in that answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from edge_agent.config.diagnose import DiagnoseSection
from edge_agent.diagnose.excerpts import Search, passages_for
from edge_agent.diagnose.making import diagnosis_of, ranking_of, request_of
from edge_agent.diagnose.program import program
from edge_agent.diagnose.prompt import prompt_version
from edge_agent.diagnose.retry import Step, decide
from edge_agent.diagnose.rules import Ranking
from edge_agent.diagnose.wording import deviating
from edge_agent.domain.audit import Circumstances, DiagnosisRecord
from edge_agent.domain.card import Card
from edge_agent.domain.completion import Completion, CompletionRequest
from edge_agent.domain.feedback import Feedback, confirmed, similar
from edge_agent.domain.job import Job, JobState
from edge_agent.domain.level import Allowance, Spent
from edge_agent.errors import BadAnswer, Unavailable

log = structlog.get_logger(__name__)

IDLE_S = 0.5
BEAT_S = 5.0
TOO_LATE = "the job waited too long"
LONGEST_LATE_S = 30 * 86_400.0
"""A job that is later than this met a clock that jumped, and is worked on as usual."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the loop works with. ``claim`` and ``finish`` are durable; ``retry`` takes job id, wall
    clock and reason; ``put_back`` returns a job that never began, its attempt uncounted;
    ``overtaken`` tells whether a more urgent one is ready; ``charge`` takes completion, wall
    seconds and processor seconds."""

    claim: Callable[[], Job | None]
    finish: Callable[[DiagnosisRecord, JobState], None]
    retry: Callable[[str, float, str], None]
    put_back: Callable[[Job], None]
    overtaken: Callable[[Job], bool]
    admit: Callable[[Job], Allowance]
    charge: Callable[[Completion | None, float, float], Spent]
    complete: Callable[[CompletionRequest, Callable[[], bool]], Completion]
    history: Callable[[str], Sequence[Feedback]] = lambda _: ()
    """What operators said of a machine's incidents, newest first."""
    search: Search | None = None
    """Finds passages in the manuals; None where there are none."""
    clock: Callable[[], float] = time.time
    beat: Callable[[], None] = lambda: None


def overdue(job: Job, now: float) -> bool:
    """Whether ``job`` waited past its time; ``now``: wall clock, Unix seconds."""
    return job.expires_at is not None and job.expires_at <= now < job.expires_at + LONGEST_LATE_S


class DiagnosisLoop:
    """Claims jobs and concludes them."""

    def __init__(
        self,
        desk: Desk,
        settings: DiagnoseSection,
        card_for: Callable[[str], Card | None],
        agent_id: str,
    ) -> None:
        self._desk = desk
        self._settings = settings
        self._card_for = card_for
        self._agent_id = agent_id
        self._news = threading.Event()

    def use(self, settings: DiagnoseSection, card_for: Callable[[str], Card | None]) -> None:
        """Go on with other settings and cards, from the next job on."""
        self._settings, self._card_for = settings, card_for

    def notify(self) -> None:
        """A job was queued: look at once."""
        self._news.set()

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``; a job that is running then goes back into the queue."""
        while not stop.is_set():
            self._desk.beat()
            job = self._desk.claim()
            if job is None:
                self._news.wait(IDLE_S)
                self._news.clear()
                continue
            with structlog.contextvars.bound_contextvars(job=job.id, incident=job.incident_id):
                self.work(job, stop)

    def work(self, job: Job, stop: threading.Event) -> None:
        """One job, to its diagnosis, its retry, or back into the queue."""
        desk, settings = self._desk, self._settings
        allowance = self._wait_for_allowance(job, stop)
        if allowance is None:
            desk.put_back(job)
            return
        given = self._circumstances(job, allowance)
        ranking = ranking_of(given)
        given = given.model_copy(update={"passages": passages_for(given, ranking, desk.search)})
        late = overdue(job, desk.clock())
        state = JobState.EXPIRED if late else JobState.DONE
        reason = TOO_LATE if late else self._why_without_model(given, ranking)
        request = None if reason else request_of(given, ranking)
        completion, started = None, time.monotonic()
        if request is not None:
            try:
                completion = desk.complete(request, self._cancelled(stop))
                version = prompt_version(settings.instructions, settings.language)
                completion = completion.by_prompt(version)
            except (BadAnswer, Unavailable) as error:
                decision = decide(error, job.attempts, settings.attempts)
                log.warning("model_failed", job=job.id, step=decision.step, reason=str(error))
                if stop.is_set() or decision.step is Step.RETRY:
                    delay = 0.0 if stop.is_set() else decision.delay_s
                    desk.retry(job.id, desk.clock() + delay, str(error))
                    return
                reason = str(error)
                if decision.step is Step.QUARANTINE:
                    state = JobState.QUARANTINED
        seconds = time.monotonic() - started
        spent = desk.charge(completion, seconds, completion.cpu_seconds if completion else 0.0)
        given = given.model_copy(update={"created_at": self._now()})
        record = DiagnosisRecord(
            circumstances=given,
            request=request,
            completion=completion,
            reason=reason,
            spent=spent,
            diagnosis=diagnosis_of(given, ranking, completion, reason, spent),
        )
        desk.finish(record, state)

    def _circumstances(self, job: Job, allowance: Allowance) -> Circumstances:
        history = self._desk.history(job.equipment)
        return Circumstances(
            agent_id=self._agent_id,
            created_at=self._now(),
            job=job,
            card=self._card_for(job.equipment),
            settings=self._settings.model_copy(update={"pushed_cards": {}}),
            confirmed=confirmed(history),
            similar=similar(history, job.finding.fingerprint),
            allowance=allowance,
            program=program(),
        )

    def _now(self) -> str:
        now = datetime.fromtimestamp(self._desk.clock(), UTC)
        return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _wait_for_allowance(self, job: Job, stop: threading.Event) -> Allowance | None:
        """The governor's word once the job may start; None if the agent stops before, or if a more
        urgent job came meanwhile: energy that is saved goes to the most urgent first."""
        while True:
            self._desk.beat()
            self._news.clear()  # before looking: what comes from now on ends the wait
            allowance = self._desk.admit(job)
            if allowance.wait_s <= 0 or not allowance.may_use_model:
                return allowance
            if overdue(job, self._desk.clock()):
                return allowance
            if self._desk.overtaken(job):
                return None
            self._news.wait(min(allowance.wait_s, BEAT_S))
            if stop.is_set():
                return None

    def _why_without_model(self, given: Circumstances, ranking: Ranking) -> str:
        """Why the rules answer alone; empty where the model may be asked."""
        job, allowance = given.job, given.allowance
        if given.card is None:
            return "no equipment card describes this machine"
        if not ranking.faults:
            return "the equipment card names no faults"
        if job.trigger == "checkup" and not deviating(job.finding):
            return "nothing deviates, so there is nothing for the model to explain"
        if not allowance.may_use_model:
            return f"the governor allows no model now: {allowance.reason}"
        if job.attempts > self._settings.attempts:
            return f"{job.attempts - 1} attempts ended without an answer"
        return ""

    def _cancelled(self, stop: threading.Event) -> Callable[[], bool]:
        """Asked by the engine's client several times a second; also this loop's sign of life."""

        def asked() -> bool:
            self._desk.beat()
            return stop.is_set()

        return asked
