"""One machine under watch: learning, tracking, and the findings that come of it. Pure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edge_agent.config.detect import DetectSection
from edge_agent.detect.evidence import compose, fingerprint
from edge_agent.detect.feedback import Feedback, Opinion
from edge_agent.detect.incident import Event, Hysteresis, State
from edge_agent.detect.levels import separate
from edge_agent.detect.limits import Limits, limits_of
from edge_agent.detect.origin import Context, origin_of
from edge_agent.detect.profile import Floats, learn
from edge_agent.detect.rows import Row, RowAssembler
from edge_agent.detect.silence import Silence, fell_silent, speaks_again
from edge_agent.detect.states import States, StateSignal
from edge_agent.detect.tracker import Tracker
from edge_agent.domain.card import Card
from edge_agent.domain.finding import Finding, IncidentPhase, SignalEvidence, Window
from edge_agent.domain.telemetry import Reading

SETTLE_ROWS = 20
"""The picture of an incident is settled after this many rows, and at least as many seconds."""
SETTLE_S = 20.0
PAUSE_S, PAUSE_ROWS = 5.0, 5.0
"""Nothing for so long, and for so many usual rows, is a pause: its source may have restarted."""
LEVEL_ROWS = 60
"""An incident this old may be about another operating state."""
ESCALATIONS_MAX = 6
"""Escalations of one incident at most, each a doubling of its score."""
UPDATES_MAX = 6
"""Updates of one incident at most, after the settled one: a flapping picture is no news."""
INSTRUMENT_SCORE = 1.2
"""Score of a signal that is frozen, missing or absurd: enough to open."""
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
    operating_state: str = "unknown"
    """``running``, ``off``, ``load 2``, or what the card calls it; ``unknown`` while learning."""
    held: bool = False
    """The baseline was frozen by command."""
    muted: int = 0
    """Pictures that people said are none; they open nothing, or only at a higher score."""
    kept_quiet: int = 0
    """Incidents that did not open because of that."""


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
        self.settled_score = 1.0
        """Its score when its picture had settled, from which escalations count."""
        self.opening_baseline: Floats | None = None
        self.held = False
        self.feedback = Feedback()
        self.dismissed = False
        """A person said that the open incident is none: it closes with the next row."""
        self.pause_s = self.back_at = 0.0
        """The last pause of all signals, and when it ended."""
        self.silence = Silence()
        self.silent: Finding | None = None
        """The open incident of a machine from which nothing comes."""

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
            operating_state=self.operating_state(),
            held=self.held,
            muted=len(self.feedback.muted),
            kept_quiet=sum(one.kept_quiet for one in self.feedback.muted.values()),
        )

    def say(self, picture: str, opinion: Opinion) -> None:
        """What a person said of a picture."""
        self.feedback.say(picture, opinion)
        self.changed = True
        if opinion is Opinion.TRUE and self.tracker is not None and self.tracker.states is not None:
            self.tracker.states.refuse(picture)
        if self.hysteresis.state is State.OPEN and self.incident is not None:
            self.dismissed = self.feedback.dismisses(self.incident.fingerprint)

    def tick(self, now: float) -> Finding | None:
        """The finding that nothing comes any more, once. ``now``: the gateway's time."""
        if not self.silence.silent(self.rows, now) or self.silent or self.tracker is None:
            return None
        self.changed = True
        self.silent = fell_silent(
            self.equipment,
            self._incident_id(self.at, "silent"),
            self.at,
            self.silence.usual_s,
            self._evidence(self.tracker),
        )
        return self.silent

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

    def card_limits(self) -> Limits | None:
        """The usual ranges that the card gives for the signals that came so far."""
        known = self.card.signals if self.card else {}
        return limits_of(
            [known[name].normal if name in known else None for name in self.assembler.signals]
        )

    def operating_state(self) -> str:
        """What it does now, for people."""
        if self.tracker is None:
            return "unknown"
        return self.tracker.states.name() if self.tracker.states is not None else "running"

    def state_signal(self) -> StateSignal | None:
        """The signal that says the operating state, by the card, once it came."""
        states = self.card.states if self.card else None
        if states is None or states.signal not in self.assembler.signals:
            return None
        names = {float(code): name for code, name in states.names.items()}
        return StateSignal(self.assembler.signals[states.signal], names)

    def _row(self, row: Row) -> list[Finding]:
        back = self._back(row.at)
        elapsed = row.at - self.at if self.rows else 0.0
        if self.silence.usual_s and elapsed > max(PAUSE_S, PAUSE_ROWS * self.silence.usual_s):
            self.pause_s, self.back_at = elapsed, row.at
        self.rows += 1
        self.at = row.at
        self.silence.row(row.at)
        self.changed = True
        if self.tracker is not None and len(row.values) != len(self.tracker.last):
            self._grow(len(row.values))
        if self.tracker is None:
            self._learn(row)
            return back
        inside = self.hysteresis.state is State.OPEN
        states = self.tracker.states
        before = states.now if states is not None else 0
        centre = self.tracker.profile.center
        self.tracker.step(row.values, row.fresh, row.broken, inside, self.held, elapsed)
        if states is not None:
            if states.now != before:
                self._state_changed(self.tracker)
            if states.changing:
                self.score = 0.0
                return back
        if self.tracker.profile.center is not centre and (states is None or states.now == before):
            self._recentred(self.tracker, centre)
        self.score = self._score(self.tracker)
        return back + self._judge(self.tracker)

    def _recentred(self, tracker: Tracker, before: Floats) -> None:
        """What an incident is measured from stays where it is when the centre moves."""
        profile = tracker.profile
        if self.opening_baseline is not None and profile.center is not before:
            moved = (before - profile.center) / profile.scale
            self.opening_baseline = self.opening_baseline + profile.channels(moved)

    def _state_changed(self, tracker: Tracker) -> None:
        """What an open incident was measured from belongs to the state that was left."""
        if self.opening_baseline is not None:
            self.opening_baseline = tracker.slow.copy()
        self.since[:] = np.nan

    def _learn(self, row: Row) -> None:
        size = len(row.values)
        self.learning = [
            np.pad(one, (0, size - len(one)), constant_values=np.nan) if len(one) < size else one
            for one in self.learning
        ]
        self.learning.append(row.values)
        if len(self.learning) >= self._settings.learn_rows:
            signal = self.state_signal()
            whole = np.array(self.learning)
            rows, shifts, codes = separate(whole, signal)
            profile = learn(rows)
            states: States | None = States.learned(profile, shifts, codes, signal)
            if (
                signal is None and states is not None and not states.apart.any()
            ):  # it keeps to one, or wanders
                rows, states = whole, None
                profile = learn(rows) if len(shifts) > 1 else profile
            process = self.card is not None and self.card.kind == "process"
            self.tracker = Tracker.begin(profile, rows, process)
            self.tracker.states = states
            self.tracker.limits = self.card_limits()
            self.since = np.full(size, np.nan)
            self.learning = []

    def _grow(self, size: int) -> None:
        """A signal that was never seen before: learn the machine again with it."""
        self.tracker, self.learning, self.incident = None, [], None
        self.hysteresis, self.since = Hysteresis(), np.full(size, np.nan)

    def _score(self, tracker: Tracker) -> float:
        spread = tracker.spread_scores()
        instruments = tracker.instruments()
        if instruments is not None:
            spread[instruments] = INSTRUMENT_SCORE
        np.maximum(spread, tracker.swing_scores(), out=spread)
        each = np.maximum(tracker.shift_scores(), spread) * self._settings.sensitivity
        deviating = each >= SINCE_SCORE
        self.since[~deviating] = np.nan
        self.since[deviating & np.isnan(self.since)] = self.at
        together = tracker.energy_score() * self._settings.sensitivity
        if self.hysteresis.state is not State.OPEN:
            return max(float(each.max()), together, 0.0)
        shift = tracker.incident_score(self.hysteresis.rows)
        return max(max(shift, float(spread.max())) * self._settings.sensitivity, together)

    def _judge(self, tracker: Tracker) -> list[Finding]:
        if self.dismissed:
            self.hysteresis.move(Event.DISMISSED)
            event: Event | None = Event.DISMISSED
            self.dismissed = False
        else:
            event = self.hysteresis.step(
                self._heard(tracker), settles=not (self.held or tracker.lasts)
            )
        match event:
            case Event.DEVIATED:
                return [self._opened(tracker)]
            case Event.RECOVERED | Event.SUBSIDED | Event.SETTLED | Event.DISMISSED:
                return [self._closed(tracker, event)]
            case Event.COOLED:
                self.incident, self.opening_baseline = None, None
            case None if self.hysteresis.state is State.OPEN and self.incident is not None:
                return self._update(self.incident)
        return []

    def _heard(self, tracker: Tracker) -> float:
        """The score, below the threshold for a picture that people said is none."""
        quiet = self.hysteresis.state is State.OPEN or self.score < 1.0
        if quiet or not self.feedback.muted:
            self.feedback.quiet = False
            return self.score
        picture = fingerprint(self.equipment, self._evidence(tracker))
        keep = self.feedback.keeps_quiet(picture, self.score)
        return math.nextafter(1.0, 0.0) if keep else self.score

    def _closed(self, tracker: Tracker, event: Event) -> Finding:
        over = event in (Event.SETTLED, Event.DISMISSED)
        closed = self._finding(IncidentPhase.CLOSED)
        self.incident = None if over else closed
        if event is not Event.RECOVERED and not self.held:
            if over and self.opening_baseline is not None:
                tracker.accept_level(self.opening_baseline, known=event is Event.DISMISSED)
            if event is Event.SETTLED:
                tracker.loosen()
            centre = tracker.profile.center
            tracker.rebase()
            self._recentred(tracker, centre)
        if over:
            self.opening_baseline = None
        return closed

    def _back(self, at: float) -> list[Finding]:
        """The end of a silence."""
        if self.silent is None:
            return []
        before, self.silent = self.silent, None
        return [speaks_again(before, at)]

    def _evidence(self, tracker: Tracker) -> tuple[SignalEvidence, ...]:
        baseline = self._baseline(tracker)
        outside = np.zeros(len(baseline), np.bool_)
        outside[: len(tracker.last)] = tracker.range_scores() >= 1.0
        if outside.any():
            baseline = np.where(
                outside, np.pad(tracker.custom.mean, (0, len(tracker.last))), baseline
            )
        return compose(
            tracker,
            self.assembler.signals,
            baseline,
            self.since,
            self.at,
            self.card,
            self.silence.usual_s,
        )

    def _baseline(self, tracker: Tracker) -> Floats:
        return self.opening_baseline if self.opening_baseline is not None else tracker.slow

    def _context(self, tracker: Tracker) -> Context:
        return Context(
            tracker=tracker,
            signals=tuple(self.assembler.signals),
            baseline=self._baseline(tracker),
            pause_s=self.pause_s,
            back_at=self.back_at,
            row_s=self.silence.usual_s,
        )

    def _opened(self, tracker: Tracker) -> Finding:
        tracker.peaks = tracker.channel_scores()
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
        if rows == LEVEL_ROWS and self.tracker is not None and self.opening_baseline is not None:
            self.tracker.visit(self.opening_baseline, incident.fingerprint)
        settled = old_enough and rows == SETTLE_ROWS
        late = old_enough and rows > SETTLE_ROWS and incident.sequence == 0
        due = rows % (3 * SETTLE_ROWS) == 0 and incident.sequence <= UPDATES_MAX
        grown = self._escalated(incident) > incident.escalated
        grown = grown and rows > SETTLE_ROWS and incident.sequence > 0
        if not (settled or late or due or grown):
            return []
        finding = self._finding(IncidentPhase.UPDATED)
        if not (settled or late or grown) and finding.fingerprint == incident.fingerprint:
            return []
        self.incident = finding
        return [finding]

    def _escalated(self, before: Finding) -> int:
        """Times that the score doubled since its picture had settled; never fewer than before."""
        if before.sequence == 0:
            self.settled_score = max(1.0, self.score)
        times = int(math.log2(max(1.0, self.score / max(1.0, self.settled_score))))
        return max(before.escalated, min(times, ESCALATIONS_MAX))

    def _finding(self, phase: IncidentPhase, opened_at: float | None = None) -> Finding:
        tracker = self.tracker
        if tracker is None:
            raise AssertionError("a machine that is still learning has no findings")
        before = self.incident if opened_at is None else None
        opened_at = before.opened_at if before else (opened_at or self.at)
        evidence = self._evidence(tracker)
        origin, reason = origin_of(evidence, self._context(tracker))
        picture = fingerprint(self.equipment, evidence)
        if before and (phase is IncidentPhase.CLOSED or picture == self.equipment):
            # what it was about stays said when it fades
            origin, reason = before.origin, before.reason
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
            operating_state=self.operating_state(),
            window=Window(start=opened_at, end=self.at),
            evidence=evidence,
            fingerprint=picture,
            sequence=before.sequence + 1 if before else 0,
            reopened=self.hysteresis.flaps if before else 0,
            escalated=self._escalated(before) if before else 0,
        )

    def _incident_id(self, opened_at: float, *more: str) -> str:
        text = "\0".join((self._agent_id, self.equipment, f"{opened_at:.3f}", *more))
        return hashlib.sha256(text.encode()).hexdigest()[:20]
