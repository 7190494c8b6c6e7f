"""What is committed together: a finding with its message and its job, a diagnosis with its own.

Each method is one transaction or part of the caller's, so that no crash can leave one without
the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from edge_agent.config.settings import Settings
from edge_agent.domain.audit import DiagnosisRecord
from edge_agent.domain.card import Card
from edge_agent.domain.finding import Finding
from edge_agent.domain.job import JobState
from edge_agent.domain.outgoing import Outgoing
from edge_agent.domain.telemetry import Message
from edge_agent.errors import Unavailable
from edge_agent.publish.message import (
    dead_letter_message,
    diagnosis_message,
    incident_message,
    response_message,
)
from edge_agent.store.connection import FATAL
from edge_agent.store.database import Store
from edge_agent.triage import job_for
from edge_agent.walltime import trusted

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Casebook:
    """The durable record of what was found and what was made of it."""

    store: Store
    settings: Settings
    card_for: Callable[[str], Card | None]
    wake: Callable[[], None]
    """Tells the diagnosis loop and the publisher that there is something new."""

    @property
    def root(self) -> str:
        """Start of our own topics."""
        return f"{self.settings.agent.topic_prefix}/{self.settings.agent.id}"

    def record(self, findings: Sequence[Finding]) -> None:
        """Findings with their messages and jobs; joins the transaction that is open."""
        now = time.time()
        diagnose = self.settings.diagnose
        for found in findings:
            finding = found.model_copy(update={"clock_trusted": trusted(now)})
            if not self.store.incidents.record(finding):
                continue  # a message that came twice: this state has been told
            log.info(
                f"incident_{finding.phase}",
                incident=finding.incident_id,
                equipment=finding.equipment,
                score=round(finding.score, 2),
                reason=finding.reason,
            )
            card = self.card_for(finding.equipment)
            message = incident_message(
                self.root,
                finding,
                agent_id=self.settings.agent.id,
                now=now,
                simulated=card is not None and card.simulated,
            )
            self.store.outbox.add([message], now)
            job = job_for(
                finding,
                self.store.jobs.of_incident(finding.incident_id),
                settle_s=diagnose.settle_s,
                per_incident=diagnose.per_incident,
                expire_s=diagnose.expire_s,
                now=now,
            )
            if job is not None:
                self.store.jobs.enqueue(job)
        self.wake()

    def finish(self, record: DiagnosisRecord, state: JobState) -> None:
        """A job's end, its diagnosis's message and what it was made from, in one transaction."""
        job, diagnosis = record.circumstances.job, record.diagnosis
        retain = self.settings.publish.retain_diagnosis
        messages = [diagnosis_message(self.root, diagnosis, retain=retain)]
        if job.response_topic is not None:
            messages.append(
                response_message(
                    job.response_topic,
                    diagnosis.model_dump(mode="json"),
                    key=job.id,
                    correlation_data=bytes.fromhex(job.correlation_data or ""),
                )
            )
        with self.store.transaction():
            self.store.jobs.finish(job, state)
            self.store.records.put(record)
            self.store.outbox.add(messages, time.time())
        log.info(
            "diagnosis_ready",
            incident=diagnosis.incident_id,
            equipment=diagnosis.equipment,
            verdict=diagnosis.verdict,
            fault=diagnosis.fault.id if diagnosis.fault else None,
            source=diagnosis.source,
            seconds=round(diagnosis.cost.seconds, 2),
        )
        self.wake()

    def send(self, *messages: Outgoing) -> None:
        """Messages that stand for themselves: health, responses, reported states."""
        self.store.outbox.add(messages, time.time())
        self.wake()

    def note_dead_letter(self, message: Message, reason: str, suppressed: int) -> None:
        """Tell whoever watches ``…/deadletter`` what could not be read, and why."""
        note = dead_letter_message(
            self.root,
            topic=message.topic,
            payload=message.payload,
            reason=reason,
            now=time.time(),
            suppressed=suppressed,
        )
        try:
            self.send(note)
        except FATAL:
            raise
        except Unavailable as error:
            log.warning("dead_letter_dropped", reason=str(error))
