"""One answer in the making: what was fed, what came out, what it took."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_agent.domain.completion import Completion, CompletionRequest, ModelIdentity
from edge_agent.errors import BadAnswer
from edge_agent.inference.constraint import Constraint
from edge_agent.inference.drafts import PromptLookup, shared_start
from edge_agent.inference.prefixes import Prefix
from edge_agent.inference.sampling import Sampler


@dataclass(slots=True)
class Deadline:
    """How long work on a request may go on."""

    cancelled: Callable[[], bool]
    limit_s: float
    started: float = field(default_factory=time.monotonic)

    def ended(self) -> str | None:
        """Why it need not go on; None while it should."""
        if self.cancelled():
            return "the request was cancelled"
        if time.monotonic() - self.started >= self.limit_s:
            return f"the deadline of {self.limit_s:g} s passed"
        return None


class Ticket(Deadline):
    """A request for an answer on its way through the engine."""

    def __init__(self, request: CompletionRequest, cancelled: Callable[[], bool]) -> None:
        super().__init__(cancelled, request.deadline_s)
        self.request = request


SCRATCH = 32
"""Cells that the options of one choice take at once, at most."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The tokens of one request, in the order in which they are computed."""

    head: tuple[int, ...]
    """System text and card: kept in the cache."""
    question: list[int]
    tail: list[int]
    """Ends the user message and opens the answer."""
    asked: list[list[int]]
    """For each choice: its question and the opening of the answer."""

    @property
    def tokens(self) -> list[int]:
        """The prompt of the written answer."""
        return [*self.head, *self.question, *self.tail]

    @property
    def length(self) -> int:
        """Tokens of that prompt."""
        return len(self.head) + len(self.question) + len(self.tail)

    def reserve(self, max_tokens: int) -> int:
        """Cells beyond the head that may be occupied at once."""
        answer = len(self.tail) + max_tokens + 1
        choices = [len(tokens) + SCRATCH for tokens in self.asked]
        return len(self.question) + max(answer, *choices, 0)


@dataclass(slots=True)
class Meter:
    """What one answer took so far."""

    started: float = field(default_factory=time.monotonic)
    prompt: int = 0
    cached: int = 0
    forced: int = 0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    cpu_s: float = 0.0
    decode_calls: int = 0
    drafted: int = 0
    """Tokens that were computed before they were chosen."""
    accepted: int = 0
    """Those of them that were chosen."""


@dataclass(slots=True)
class Answer:
    """A sequence that is being continued until its grammar is satisfied."""

    ticket: Ticket
    sequence: int
    prefix: Prefix
    constraint: Constraint
    meter: Meter
    sampler: Sampler | None = None
    """None for greedy."""
    lookup: PromptLookup | None = None
    """None: no drafts."""
    position: int = 0
    """Tokens of this sequence in the KV cache."""
    pending: list[int] = field(default_factory=list)
    """Tokens that must be computed before the next can be chosen."""
    tokens: list[int] = field(default_factory=list)
    probabilities: dict[str, dict[str, float]] = field(default_factory=dict)
    reserved: int = 0
    """Cells that it may come to occupy beyond its prefix."""

    @property
    def request(self) -> CompletionRequest:
        """What was asked."""
        return self.ticket.request

    def draft(self, most: int) -> list[int]:
        """Up to ``most`` tokens that may be chosen next; the answer may still take them, and the
        grammar allows them."""
        if self.lookup is None:
            return []
        left = self.request.max_tokens - len(self.tokens) - 1
        return self.constraint.allowed(self.lookup.draft(min(most, left)))

    def advance(self, token: int, draft: list[int]) -> int:
        """Take ``token`` and what the grammar forces behind it; how many of them ``draft`` begins
        with. The rest is pending. Raises ``BadAnswer`` past the allowed number of tokens."""
        taken = [token, *self.constraint.accept(token)]
        same = shared_start(taken, draft)
        self.meter.accepted += same
        self.pending += taken[same:]
        self.take(taken, forced=len(taken) - 1)
        return same

    def take(self, tokens: list[int], *, forced: int) -> None:
        """Add tokens to the answer. Raises ``BadAnswer`` past the allowed number."""
        self.tokens += tokens
        self.meter.forced += forced
        if self.sampler is not None:
            self.sampler.remember(tokens)
        if self.lookup is not None:
            self.lookup.extend(tokens)
        allowed = self.request.max_tokens
        if len(self.tokens) > allowed or (
            len(self.tokens) == allowed and not self.constraint.finished
        ):
            raise BadAnswer(f"the answer did not end within {allowed} tokens")

    def completion(
        self, piece: Callable[[int], bytes], ends: frozenset[int], model: ModelIdentity
    ) -> Completion:
        """The finished answer. Raises ``BadAnswer`` if the text is no JSON."""
        body = b"".join(piece(token) for token in self.tokens if token not in ends)
        try:
            text = body.decode("utf-8")
            json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadAnswer(f"the model's answer is not JSON: {error}") from None
        meter = self.meter
        return Completion(
            text=text,
            probabilities=self.probabilities,
            tokens_in=meter.prompt,
            tokens_cached=meter.cached,
            tokens_out=len(self.tokens),
            tokens_forced=meter.forced,
            seconds=time.monotonic() - meter.started,
            prefill_seconds=meter.prefill_s,
            decode_seconds=meter.decode_s,
            cpu_seconds=meter.cpu_s,
            model=model,
            adapter_sha256=self.prefix.adapter,
            sampling=self.sampler.settings if self.sampler else {},
        )
