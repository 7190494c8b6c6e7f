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

from edge_agent.card import Card
from edge_agent.completion import Completion, CompletionRequest
from edge_agent.config.diagnose import DiagnoseSection
from edge_agent.diagnose.answer import Outcome, conclude
from edge_agent.diagnose.prompt import prepare, prompt_version
from edge_agent.diagnose.retry import Step, decide
from edge_agent.diagnose.rules import Ranking, rank
from edge_agent.diagnosis import Diagnosis
from edge_agent.errors import BadAnswer, Unavailable
from edge_agent.feedback import Feedback, confirmed, similar
from edge_agent.job import Job, JobState
from edge_agent.level import Allowance, Spent

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
    finish: Callable[[Job, Diagnosis, JobState], None]
    retry: Callable[[str, float, str], None]
    put_back: Callable[[Job], None]
    overtaken: Callable[[Job], bool]
    admit: Callable[[Job], Allowance]
    charge: Callable[[Completion | None, float, float], Spent]
    complete: Callable[[CompletionRequest, Callable[[], bool]], Completion]
    history: Callable[[str], Sequence[Feedback]] = lambda _: ()
    """What operators said of a machine's incidents, newest first."""
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
        desk, settings, card = self._desk, self._settings, self._card_for(job.equipment)
        history = desk.history(job.equipment)
        ranking = rank(card, job.finding, confirmed(history)) if card else Ranking((), 1.0)
        allowance = self._wait_for_allowance(job, stop)
        if allowance is None:
            desk.put_back(job)
            return
        late = overdue(job, desk.clock())
        state = JobState.EXPIRED if late else JobState.DONE
        reason = TOO_LATE if late else self._why_without_model(job, card, ranking, allowance)
        completion, started = None, time.monotonic()
        if not reason and card is not None:
            request = prepare(job, card, ranking, allowance, settings)
            try:
                completion = desk.complete(request, self._cancelled(stop))
                completion = completion.by_prompt(prompt_version(settings.instructions))
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
        before = similar(history, job.finding.fingerprint)
        outcome = Outcome(completion, reason, spent, allowance.level, before)
        desk.finish(job, self._conclude(job, card, ranking, outcome), state)

    def _conclude(
        self, job: Job, card: Card | None, ranking: Ranking, outcome: Outcome
    ) -> Diagnosis:
        now = datetime.fromtimestamp(self._desk.clock(), UTC)
        return conclude(
            job,
            card,
            ranking,
            outcome,
            agent_id=self._agent_id,
            created_at=now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            undetermined_below=self._settings.undetermined_below,
        )

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

    def _why_without_model(
        self, job: Job, card: Card | None, ranking: Ranking, allowance: Allowance
    ) -> str:
        """Why the rules answer alone; empty where the model may be asked."""
        if card is None:
            return "no equipment card describes this machine"
        if not ranking.faults:
            return "the equipment card names no faults"
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
