"""The intake loop: messages in batches → readings → findings → one durable transaction → acks.

A message is acknowledged only once its effect is durable: after detection has seen it and every
incident that it opened is committed. A batch therefore ends in one commit and then its acks, in
the order of arrival.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from edge_agent.deadletter import DeadLetters
from edge_agent.decode.decoder import Decoder
from edge_agent.detect.detection import Detection
from edge_agent.detect.feedback import Muted, Opinion
from edge_agent.detect.storm import Storm
from edge_agent.domain.finding import Finding
from edge_agent.domain.telemetry import Message, Reading
from edge_agent.errors import BadPayload, Unavailable
from edge_agent.inbox import Inbox
from edge_agent.recent import RecentRows, Row

log = structlog.get_logger(__name__)

BATCH = 1000
"""Messages per batch: large enough to share one commit, small enough to keep latency low."""
TICK_S = 5.0
"""Between two looks at what time alone brings, seconds."""


@dataclass(frozen=True, slots=True)
class IntakeEffects:
    """What the intake does to the world around it."""

    acknowledge: Callable[..., None]
    """Acknowledge messages, each an argument."""
    record: Callable[[Sequence[Finding], Mapping[str, bytes]], None]
    """Store findings with their messages and jobs, and the snapshots of their machines, all or
    nothing; waits while the disk is full, so that nothing is acknowledged meanwhile. Without the
    snapshot, a crash would leave an incident that detection knows nothing of."""
    save_snapshots: Callable[[dict[str, bytes]], None]
    send: Callable[..., None]
    """Put messages to the sources into the outbox, such as Sparkplug rebirth requests."""
    beat: Callable[[], None]


class Intake:
    """Takes telemetry from the inbox to findings. ``decoder`` and ``detection`` can be swapped
    between two batches, which is how settings apply without losing a sample."""

    def __init__(
        self,
        inbox: Inbox,
        decoder: Decoder,
        detection: Detection,
        dead_letters: DeadLetters,
        effects: IntakeEffects,
        snapshot_s: float,
        agent_id: str,
    ) -> None:
        self._inbox = inbox
        self._decoder = decoder
        self._detection = detection
        self._dead_letters = dead_letters
        self._effects = effects
        self._snapshot_s = snapshot_s
        self._batch = threading.Lock()
        """Held from a batch's detection to its commit: a snapshot in between would hold an
        incident that the store does not know."""
        self._turn = threading.Lock()
        """Held while the detection is looked at or changed; never while waiting for a disk."""
        self._storm = Storm(agent_id)
        self._recent = RecentRows(row_s=1.0)
        self._ticked = time.monotonic()
        self.messages = 0
        self.readings = 0

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``: batches and snapshots; then judge what is half assembled."""
        saved_at = time.monotonic()
        while not stop.is_set():
            self._effects.beat()
            batch = self._inbox.take(BATCH, 0.25)
            self.take(batch)
            if time.monotonic() - saved_at >= self._snapshot_s:
                self.save()
                saved_at = time.monotonic()
        with self._batch:
            with self._turn:
                findings = self._detection.flush()
                learned = self._learned(findings)
            self._commit(findings, learned, ())
        self.save()

    def take(self, batch: Sequence[Message]) -> None:
        """One batch: decode, detect, commit, acknowledge."""
        readings: list[Reading] = []
        for message in batch:
            try:
                readings += self._decoder.decode(message)
            except BadPayload as error:
                self._dead_letters.add(message, str(error), time.monotonic())
        self.messages += len(batch)
        self.readings += len(readings)
        with self._batch:
            with self._turn:
                self._recent.add(readings)
                findings = self._detection.observe(readings) if readings else []
                findings += self._passing_time(findings)
                learned = self._learned(findings)
            self._commit(findings, learned, batch)
        self._attend_sources()

    def _passing_time(self, findings: list[Finding]) -> list[Finding]:
        """What time alone brings: machines that fell silent, a storm that opens or passes."""
        found: list[Finding] = []
        now = time.monotonic()
        if now - self._ticked >= TICK_S:
            self._ticked = now
            found = self._detection.tick(now)
        elif not findings:
            return []
        return found + self._storm.observe(findings + found, time.time())

    def _attend_sources(self) -> None:
        """What the decoder wants said: to the operator once, and to the sources."""
        for text in self._decoder.news():
            log.warning("telemetry_left_out", reason=text)
        requests = self._decoder.requests()
        if requests:
            self._effects.send(*requests)

    def lane_of(self, topic: str) -> str:
        """Whose messages come on ``topic``, for the inbox; called in the network thread."""
        return self._decoder.lane_of(topic)

    @property
    def filters(self) -> tuple[tuple[str, int], ...]:
        """MQTT filters of what is decoded now, with their QoS."""
        return self._decoder.filters

    def decoding(self) -> dict[str, Any]:
        """The decoder's report, for health."""
        return self._decoder.report()

    def _learned(self, findings: Sequence[Finding]) -> dict[str, bytes]:
        return self._detection.snapshots_of({finding.equipment for finding in findings})

    def _commit(
        self, findings: Sequence[Finding], learned: Mapping[str, bytes], batch: Sequence[Message]
    ) -> None:
        if findings:
            self._effects.record(findings, learned)
        self._effects.acknowledge(*batch)

    def save(self) -> None:
        """Persist the baselines that changed: what a crash may forget is bounded by this."""
        with self._turn:
            snapshots = self._detection.snapshots()
        if not snapshots:
            return
        try:
            self._effects.save_snapshots(snapshots)
        except Unavailable as error:
            log.warning("baselines_not_saved", reason=str(error))

    def swap(self, decoder: Decoder, rebuild: Callable[[Detection], Detection]) -> None:
        """Put new stages in between two batches; ``rebuild`` makes one from the old one."""
        with self._batch, self._turn:
            self._detection = rebuild(self._detection)
            self._decoder = decoder

    def hear(self, equipment: str, pictures: Sequence[str], opinion: Opinion) -> dict[str, Muted]:
        """What a person said of an incident's pictures, kept at once; all that is muted now."""
        with self._turn:
            for picture in pictures:
                self._detection.feedback(equipment, picture, opinion)
            muted = self._detection.muted(equipment)
        self.save()
        return muted

    def recall(self, equipment: str, start: float, end: float) -> list[Row]:
        """The rows of a machine that are still remembered, source time in Unix seconds."""
        with self._turn:
            return self._recent.between(equipment, start, end)

    def remembered(self, equipment: str) -> tuple[float, float] | None:
        """Source times of the oldest and the newest row that is remembered."""
        with self._turn:
            return self._recent.span(equipment)

    def machines(self) -> list[str]:
        """The equipment that telemetry came from."""
        with self._turn:
            return list(self._detection.status())

    def ask(self, question: Callable[[Detection], object]) -> object:
        """Run ``question`` on the detection while no batch is in it."""
        with self._turn:
            return question(self._detection)
