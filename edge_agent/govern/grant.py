"""What the diagnosis loop was allowed last, and what its job teaches about costs. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.domain.level import Allowance
from edge_agent.govern.cost import Sample

STOPPED_MARGIN = 1.5
"""A job that was stopped because it overdrew would have cost more than it got to."""


@dataclass(slots=True)
class Grant:
    """The last word given to the diagnosis loop, which does one job at a time."""

    allowance: Allowance
    model: str = ""
    tokens: int = 0
    worked_s: float = 0.0
    """The worker's processor seconds by then."""
    overdrawn: bool = False
    """Whether the work was told to stop because the store was overdrawn."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a job that gave an answer took."""

    wall_s: float
    cpu_s: float
    calls: int
    """Decode calls."""
    joules: float


def of_finished(grant: Grant, done: Finished, today: float) -> Sample:
    """The cost of a job, without the pauses that it was told to make."""
    paused = grant.allowance.token_gap_s * done.calls
    working = done.cpu_s / max(1, grant.allowance.threads)
    return Sample(
        today, done.joules, max(0.01, working, done.wall_s - paused), done.cpu_s, done.calls
    )


def of_stopped(
    grant: Grant, worked_s: float, wall_s: float, watts_per_core: float, today: float
) -> Sample:
    """The cost that a stopped job would have had, so that the next one waits longer.

    ``worked_s``: the worker's processor seconds now.
    """
    worked = max(0.0, worked_s - grant.worked_s) * STOPPED_MARGIN
    return Sample(today, watts_per_core * worked, max(0.01, wall_s) * STOPPED_MARGIN, worked)
