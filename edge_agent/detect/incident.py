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
    SETTLED = "settled"
    """It lasted so long that it is the new normal."""
    COOLED = "cooled"


TABLE: dict[tuple[State, Event], State] = {
    (State.QUIET, Event.DEVIATED): State.OPEN,
    (State.OPEN, Event.RECOVERED): State.COOLING,
    (State.OPEN, Event.SETTLED): State.QUIET,
    (State.COOLING, Event.DEVIATED): State.OPEN,
    (State.COOLING, Event.COOLED): State.QUIET,
}
"""Every legal move."""

OPEN_ROWS = 5
"""Rows above the threshold before an incident opens."""
CLOSE_ROWS = 10
"""Rows below half the threshold before it closes."""
CLOSE_BELOW = 0.5
SETTLE_ROWS = 1000
"""Rows after which a lasting change becomes the new baseline."""
COOLING_ROWS = 60


@dataclass(slots=True)
class Hysteresis:
    """Counts rows above and below the thresholds, and moves the state."""

    state: State = State.QUIET
    above: int = 0
    below: int = 0
    rows: int = 0
    """Rows since the last move."""

    def move(self, event: Event) -> None:
        """One legal move. Raises ``IllegalTransition`` otherwise and changes nothing."""
        after = TABLE.get((self.state, event))
        if after is None:
            raise IllegalTransition(f"an incident that is {self.state} cannot have {event}")
        self.state, self.above, self.below, self.rows = after, 0, 0, 0

    def step(self, score: float) -> Event | None:
        """Take one row's score (1.0 is the threshold); the event that it caused, already made."""
        self.rows += 1
        self.above = self.above + 1 if score >= 1.0 else 0
        self.below = self.below + 1 if score < CLOSE_BELOW else 0
        event = self._event()
        if event is not None:
            self.move(event)
        return event

    def _event(self) -> Event | None:
        if self.state is State.OPEN:
            if self.below >= CLOSE_ROWS:
                return Event.RECOVERED
            return Event.SETTLED if self.rows >= SETTLE_ROWS else None
        if self.above >= OPEN_ROWS:
            return Event.DEVIATED
        if self.state is State.COOLING and self.rows >= COOLING_ROWS:
            return Event.COOLED
        return None
