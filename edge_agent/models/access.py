"""What stands between the diagnosis loop and the model: the governor, and the crash-loop guard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.domain.completion import Completion, CompletionRequest
from edge_agent.domain.job import Job
from edge_agent.domain.level import Allowance, Level, Spent
from edge_agent.govern.governor import Governor

PROMPT_TOKENS = 600
"""Usual length of a prompt, for the governor's forecast."""


@dataclass(frozen=True, slots=True)
class ModelAccess:
    """Admits a job, runs it while the governor lets it, and charges what it took."""

    governor: Governor
    complete_with: Callable[[CompletionRequest, Callable[[], bool]], Completion]
    answer_tokens: Callable[[], int]
    model: Callable[[], str]
    forbidden: Callable[[], str]
    """Why no model may be used at all, in spite of the governor; empty while it may."""

    def admit(self, job: Job) -> Allowance:
        """What this job may use now."""
        reason = self.forbidden()
        if reason:
            return Allowance(Level.RULES_ONLY, reason)
        tokens = PROMPT_TOKENS + self.answer_tokens()
        return self.governor.admit(job.priority, tokens, self.model())

    def charge(self, completion: Completion | None, wall_s: float, cpu_s: float) -> Spent:
        """Book what a job took."""
        if completion is None:
            return self.governor.charge(wall_s, cpu_s, 0, 0, joules=None)
        return self.governor.charge(
            wall_s,
            cpu_s,
            completion.tokens_in,
            completion.tokens_out,
            joules=None,
            tokens_forced=completion.tokens_forced,
        )

    def complete(self, request: CompletionRequest, cancelled: Callable[[], bool]) -> Completion:
        """Ask the model; the governor may call it off half-way. Raises as the worker's client."""
        return self.complete_with(request, lambda: cancelled() or self.governor.must_stop())
