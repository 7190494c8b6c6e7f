"""Each wait is a forecast that a busy neighbour may spoil; together they are bounded. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.domain.level import Allowance, Level

FORGOTTEN_S = 120.0
"""Who has not asked again for so long has given up."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody has asked for the model and was told to wait. Monotonic seconds."""

    since: float
    asked_at: float


def bound_wait(
    allowance: Allowance, waiting: Waiting | None, now: float, longest_s: float
) -> tuple[Allowance, Waiting | None]:
    """The allowance, or the rules' where waiting has lasted ``longest_s``; and who waits now."""
    if allowance.wait_s <= 0:
        return allowance, None
    if waiting is None or now - waiting.asked_at > FORGOTTEN_S:
        return allowance, Waiting(now, now)
    if now - waiting.since < longest_s:
        return allowance, Waiting(waiting.since, now)
    reason = f"power: waited {now - waiting.since:.0f} s for energy in vain"
    return Allowance(Level.RULES_ONLY, reason, max_tokens=1, threads=1), None
