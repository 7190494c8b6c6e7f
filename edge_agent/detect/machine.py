"""One machine under watch: learning, tracking, and the findings that come of it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edge_agent.card import Card
from edge_agent.config.detect import DetectSection
from edge_agent.detect.evidence import compose, fingerprint, origin_of
from edge_agent.detect.incident import Event, Hysteresis, State
from edge_agent.detect.profile import Floats, learn
from edge_agent.detect.rows import Row, RowAssembler
from edge_agent.detect.tracker import Tracker
from edge_agent.finding import Finding, IncidentPhase, Window
from edge_agent.telemetry import Reading

SETTLE_ROWS = 20
"""The picture of an incident is settled after this many rows, and at least as many seconds."""
SETTLE_S = 20.0
UPDATES_MAX = 6
"""Updates of one incident at most, after the settled one: a flapping picture is no news."""
SINCE_SCORE = 0.5
"""A signal deviates since its score passed this."""


@dataclass(frozen=True, slots=True)
class EquipmentStatus:
    """How one machine stands, for health and status."""

    state: str
    """``learning``, ``quiet``, ``open`` or ``cooling``."""
    learned: float
    """Share of the learning rows, 0 to 1."""
    rows: int
    signals: int
    score: float
    incident_id: str | None


class Machine:
    """The watch on one machine. ``card`` gives units and physical limits; it may be absent."""

    def __init__(
        self, equipment: str, settings: DetectSection, card: Card | None, agent_id: str
    ) -> None:
        self.equipment = equipment
        self.card = card
        self.changed = False
        self._settings = settings
        self._agent_id = agent_id
        self.assembler = RowAssembler(settings.row_s, settings.max_signals)
        self.tracker: Tracker | None = None
        self.hysteresis = Hysteresis()
        self.learning: list[Floats] = []
        self.rows = 0
        self.at = 0.0
        self.score = 0.0
        self.since: Floats = np.empty(0)
        self.incident: Finding | None = None
        """The last finding of the open or cooling incident."""
        self.opening_baseline: Floats | None = None

    def observe(self, readings: Iterable[Reading]) -> list[Finding]:
        """Take readings in order; findings in order."""
        findings = []
        for reading in readings:
            row = self.assembler.add(reading, self.limits(reading.signal))
            if row is not None:
                findings += self._row(row)
        row = self.assembler.complete()
        return findings + (self._row(row) if row is not None else [])

    def flush(self) -> list[Finding]:
        """Judge what is half assembled."""
        row = self.assembler.flush()
        return self._row(row) if row is not None else []

    def status(self) -> EquipmentStatus:
        """How it stands."""
        learned = 1.0 if self.tracker else len(self.learning) / self._settings.learn_rows
        state = str(self.hysteresis.state) if self.tracker else "learning"
        is_open = self.hysteresis.state is State.OPEN and self.incident is not None
        return EquipmentStatus(
            state=state,
            learned=round(learned, 3),
            rows=self.rows,
            signals=len(self.assembler.signals),
            score=round(self.score, 2),
            incident_id=self.incident.incident_id if is_open and self.incident else None,
        )

    def current(self) -> Finding | None:
        """Evidence as of now, incident or not; None while learning."""
        if self.tracker is None:
            return None
        if self.hysteresis.state is State.OPEN and self.incident is not None:
            return self._finding(IncidentPhase.UPDATED)
        return self._finding(IncidentPhase.UPDATED, opened_at=self.at)

    def limits(self, signal: str) -> tuple[float, float] | None:
        """What its sensor can measure, by the card."""
        known = self.card.signals.get(signal) if self.card else None
        return known.physical if known else None

    def _row(self, row: Row) -> list[Finding]:
        self.rows += 1
        self.at = row.at
        self.changed = True
        if self.tracker is not None and len(row.values) != len(self.tracker.last):
            self._grow(len(row.values))
        if self.tracker is None:
            self._learn(row)
            return []
        inside = self.hysteresis.state is State.OPEN
        self.tracker.step(row.values, row.fresh, row.broken, inside)
        self.score = self._score(self.tracker)
        return self._judge(self.tracker)

    def _learn(self, row: Row) -> None:
        size = len(row.values)
        self.learning = [
            np.pad(one, (0, size - len(one)), constant_values=np.nan) if len(one) < size else one
            for one in self.learning
        ]
        self.learning.append(row.values)
        if len(self.learning) >= self._settings.learn_rows:
            rows = np.array(self.learning)
            self.tracker = Tracker.begin(learn(rows), rows)
            self.since = np.full(size, np.nan)
            self.learning = []

    def _grow(self, size: int) -> None:
        """A signal that was never seen before: learn the machine again with it."""
        self.tracker, self.learning, self.incident = None, [], None
        self.hysteresis, self.since = Hysteresis(), np.full(size, np.nan)

    def _score(self, tracker: Tracker) -> float:
        each = np.maximum(tracker.shift_scores(), tracker.spread_scores())
        instrument = tracker.frozen() | tracker.missing() | tracker.absurd()
        each = np.where(instrument, np.maximum(each, 1.2), each) * self._settings.sensitivity
        deviating = each >= SINCE_SCORE
        self.since = np.where(
            deviating, np.where(np.isnan(self.since), self.at, self.since), np.nan
        )
        return float(each.max(initial=0.0))

    def _judge(self, tracker: Tracker) -> list[Finding]:
        event = self.hysteresis.step(self.score)
        match event:
            case Event.DEVIATED:
                return [self._opened(tracker)]
            case Event.RECOVERED | Event.SETTLED:
                closed = self._finding(IncidentPhase.CLOSED)
                self.incident = closed
                if event is Event.SETTLED:
                    tracker.rebase()
                return [closed]
            case Event.COOLED:
                self.incident, self.opening_baseline = None, None
            case None if self.hysteresis.state is State.OPEN and self.incident is not None:
                return self._update(self.incident)
        return []

    def _opened(self, tracker: Tracker) -> Finding:
        if self.incident is None:
            self.opening_baseline = tracker.slow.copy()
            finding = self._finding(IncidentPhase.OPENED, opened_at=self.at)
        else:  # reopened within the cooldown: the same trouble, under the same id
            finding = self._finding(IncidentPhase.UPDATED)
        self.incident = finding
        return finding

    def _update(self, incident: Finding) -> list[Finding]:
        old_enough = self.at - incident.opened_at >= SETTLE_S
        rows = self.hysteresis.rows
        settled = old_enough and rows == SETTLE_ROWS
        late = old_enough and rows > SETTLE_ROWS and incident.sequence == 0
        due = self.hysteresis.rows % (3 * SETTLE_ROWS) == 0 and incident.sequence <= UPDATES_MAX
        if not (settled or late or due):
            return []
        finding = self._finding(IncidentPhase.UPDATED)
        if not (settled or late) and finding.fingerprint == incident.fingerprint:
            return []
        self.incident = finding
        return [finding]

    def _finding(self, phase: IncidentPhase, opened_at: float | None = None) -> Finding:
        tracker = self.tracker
        if tracker is None:
            raise AssertionError("a machine that is still learning has no findings")
        before = self.incident if opened_at is None else None
        opened_at = before.opened_at if before else (opened_at or self.at)
        baseline = self.opening_baseline if self.opening_baseline is not None else tracker.slow
        evidence = compose(
            tracker, self.assembler.signals, baseline, self.since, self.at, self.card
        )
        origin, reason = origin_of(evidence, int(tracker.absurd().sum()))
        return Finding(
            incident_id=before.incident_id if before else self._incident_id(opened_at),
            phase=phase,
            equipment=self.equipment,
            opened_at=opened_at,
            at=self.at,
            closed_at=self.at if phase is IncidentPhase.CLOSED else None,
            score=round(self.score, 3),
            origin=origin,
            reason=reason,
            window=Window(start=opened_at, end=self.at),
            evidence=evidence,
            fingerprint=fingerprint(self.equipment, evidence),
            sequence=before.sequence + 1 if before else 0,
        )

    def _incident_id(self, opened_at: float) -> str:
        text = f"{self._agent_id}\0{self.equipment}\0{opened_at:.3f}"
        return hashlib.sha256(text.encode()).hexdigest()[:20]
