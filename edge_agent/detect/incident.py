"""The incident state machine of one machine, as a table. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edge_agent.errors import IllegalTransition


class State(StrEnum):
    """Where a machine stands."""

    QUIET = "quiet"
    OPEN = "open"
    COOLING = "cooling"
    """Closed a short while ago: the same trouble reopens the same incident."""


class Event(StrEnum):
    """What happened."""

    DEVIATED = "deviated"
    RECOVERED = "recovered"
    SUBSIDED = "subsided"
    """It fell far below what it was, and stayed there: over, though not quite as before."""
    SETTLED = "settled"
    """It lasted so long that it is the new normal."""
    DISMISSED = "dismissed"
    """A person said that it is none."""
    COOLED = "cooled"


TABLE: dict[tuple[State, Event], State] = {
    (State.QUIET, Event.DEVIATED): State.OPEN,
    (State.OPEN, Event.RECOVERED): State.COOLING,
    (State.OPEN, Event.SUBSIDED): State.COOLING,
    (State.OPEN, Event.SETTLED): State.QUIET,
    (State.OPEN, Event.DISMISSED): State.QUIET,
    (State.COOLING, Event.DEVIATED): State.OPEN,
    (State.COOLING, Event.COOLED): State.QUIET,
}
"""Every legal move."""

OPEN_ROWS = 6
"""Rows above the threshold before an incident opens, and besides:"""
EVIDENCE, EVIDENCE_ABOVE, EVIDENCE_MOST = 2.0, 0.8, 3.0
"""So much must have been gathered above this score, a row counting as a score of three at most (a
cumulative sum, Page 1954): what only just passes the threshold must do so for longer."""
CLOSE_ROWS = 10
"""Rows below half the threshold before it closes."""
CLOSE_BELOW = 0.5
FALLEN, FALLEN_ROWS = 0.25, 30
"""So many rows below this share of the incident's highest score mean that the fault was taken
away: a machine seldom returns to the very level that it had before."""
SETTLE_ROWS = 700
"""Rows after which a lasting change becomes the new baseline."""
COOLING_ROWS, COOLING_MOST = 60, 8
"""Rows after its end in which an incident reopens; each time that it did makes them more, up to so
many times: what flaps is one incident."""


@dataclass(slots=True)
class Hysteresis:
    """Counts rows above and below the thresholds, and moves the state."""

    state: State = State.QUIET
    above: int = 0
    below: int = 0
    fallen: int = 0
    rows: int = 0
    """Rows since the last move."""
    peak: float = 0.0
    """Highest score since the last move."""
    evidence: float = 0.0
    """Gathered while no incident is open."""
    flaps: int = 0
    """Times that the incident reopened."""

    def move(self, event: Event) -> None:
        """One legal move. Raises ``IllegalTransition`` otherwise and changes nothing."""
        after = TABLE.get((self.state, event))
        if after is None:
            raise IllegalTransition(f"an incident that is {self.state} cannot have {event}")
        if after is State.QUIET:
            self.flaps = 0
        elif event is Event.DEVIATED and self.state is State.COOLING:
            self.flaps += 1
        self.state, self.peak, self.evidence = after, 0.0, 0.0
        self.above = self.below = self.fallen = self.rows = 0

    def step(self, score: float, settles: bool = True) -> Event | None:
        """Take one row's score (1.0 is the threshold); the event that it caused, already made.
        ``settles``: what lasts, or fell and stays so, becomes the new normal."""
        self.rows += 1
        self.above = self.above + 1 if score >= 1.0 else 0
        self.below = self.below + 1 if score < CLOSE_BELOW else 0
        self.peak = max(self.peak, score)
        if self.state is not State.OPEN:
            more = min(score, EVIDENCE_MOST) - EVIDENCE_ABOVE
            self.evidence = max(0.0, self.evidence + more)
        self.fallen = self.fallen + 1 if score < FALLEN * self.peak else 0
        event = self._event(settles)
        if event is not None:
            self.move(event)
        return event

    def _event(self, settles: bool) -> Event | None:
        if self.state is State.OPEN:
            if self.below >= CLOSE_ROWS:
                return Event.RECOVERED
            if settles and self.fallen >= FALLEN_ROWS:
                return Event.SUBSIDED
            return Event.SETTLED if settles and self.rows >= SETTLE_ROWS else None
        if self.above >= OPEN_ROWS and self.evidence >= EVIDENCE:
            return Event.DEVIATED
        patience = COOLING_ROWS * min(1 + self.flaps, COOLING_MOST)
        if self.state is State.COOLING and self.rows >= patience:
            return Event.COOLED
        return None
