"""What becomes of a failed attempt, as a table. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edge_agent.errors import BadAnswer, Unavailable


class Step(StrEnum):
    """What to do next."""

    RETRY = "retry"
    RULES = "rules"
    """Publish the rules' answer; the job is done."""
    QUARANTINE = "quarantine"
    """Publish the rules' answer; keep the job for a person to look at."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The step, and for a retry how long to wait, seconds."""

    step: Step
    delay_s: float = 0.0


TABLE: dict[type[Exception], tuple[float, Step]] = {
    BadAnswer: (0.0, Step.QUARANTINE),
    Unavailable: (1.0, Step.RULES),
}
"""Kind of failure → delay of the first retry (doubling) and what follows the last attempt."""


def decide(error: BadAnswer | Unavailable, attempt: int, attempts: int) -> Decision:
    """After failed attempt number ``attempt`` (from 1) of ``attempts``."""
    first, last = TABLE[type(error)] if type(error) in TABLE else TABLE[Unavailable]
    if attempt >= attempts:
        return Decision(last)
    return Decision(Step.RETRY, first * 2 ** (attempt - 1))
