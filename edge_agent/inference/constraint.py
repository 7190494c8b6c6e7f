"""The schema as a constraint on tokens: check the likely one first, mask only if it is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from numpy.typing import NDArray

from edge_agent.errors import BadAnswer

MAX_SCHEMA_BYTES = 256 << 10
MAX_DEPTH = 64
MAX_GROUPS = 100
"""Deepest nesting of parentheses in a ``pattern``; more is no schema but an attack."""

LIMITS = LLParserLimits(verbose_errors=False)


def grammar_for(schema: dict[str, Any]) -> str:
    """The grammar of compact JSON under ``schema``. Raises ``BadAnswer`` for one that is too large,
    too deep or no text: no answer can be had under it."""
    _check_depth(schema)
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    if len(text) > MAX_SCHEMA_BYTES:
        raise BadAnswer(f"the answer's schema has {len(text)} bytes; at most {MAX_SCHEMA_BYTES}")
    try:
        grammar: str = LLMatcher.grammar_from_json_schema(
            text, overrides={"whitespace_flexible": False}
        )
    except ValueError:  # half of a UTF-16 pair is no character of any text
        raise BadAnswer("the answer's schema holds characters that no text can hold") from None
    return grammar


def _check_depth(schema: object) -> None:
    level: list[object] = [schema]
    for _ in range(MAX_DEPTH):
        if not level:
            return
        deeper: list[object] = []
        for node in level:
            if isinstance(node, dict):
                deeper.extend(node.values())
                _check_pattern(node.get("pattern"))
            elif isinstance(node, list):
                deeper.extend(node)
        level = deeper
    raise BadAnswer(f"the answer's schema is nested more than {MAX_DEPTH} levels deep")


def _check_pattern(pattern: object) -> None:
    if isinstance(pattern, str) and (pattern.count("(") > MAX_GROUPS or len(pattern) > 10_000):
        raise BadAnswer("a pattern in the answer's schema is too large; simplify it")


class Constraint:
    """Where one answer stands in its grammar. ``seconds`` is the time spent here."""

    def __init__(self, tokenizer: LLTokenizer, grammar: str) -> None:
        self._matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=LIMITS)
        self.seconds = 0.0
        self.masked = 0
        """How often a full mask was needed."""
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            reason = self._matcher.get_error().strip().splitlines()[0][:300]
            raise BadAnswer(f"no answer is possible under this schema: {reason}")

    @property
    def finished(self) -> bool:
        """Whether nothing may follow."""
        return bool(self._matcher.is_stopped())

    def choose(
        self, logits: NDArray[np.float32], pick: Callable[[NDArray[np.float32]], int]
    ) -> int:
        """``pick`` a token from ``logits``; if the grammar refuses it, pick among the allowed.

        For a random ``pick`` the result has the distribution of picking among the allowed at once:
        p(t) + (1 - Z) p(t)/Z = p(t)/Z, with Z the probability of all allowed tokens.
        """
        token = pick(logits)
        start = time.perf_counter()
        try:
            if self._matcher.validate_tokens([token]) == 1:
                return token
            allowed = self._allowed(len(logits))
        finally:
            self.seconds += time.perf_counter() - start
        return pick(np.where(allowed, logits, np.float32(-np.inf)))

    def _allowed(self, size: int) -> NDArray[np.bool_]:
        self.masked += 1
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._check()
        allowed = np.unpackbits(bits, bitorder="little")[:size].astype(np.bool_)
        if not allowed.any():
            raise BadAnswer("the answer's schema leaves no token to go on with")
        return allowed

    def allowed(self, tokens: list[int]) -> list[int]:
        """The longest beginning of ``tokens`` that may come next; nothing is taken."""
        if not tokens:
            return []
        start = time.perf_counter()
        count = self._matcher.validate_tokens(tokens)
        self.seconds += time.perf_counter() - start
        return tokens[:count]

    def accept(self, token: int) -> list[int]:
        """Take ``token`` and then every token that the grammar forces; returns the latter."""
        start = time.perf_counter()
        self._matcher.consume_token(token)
        self._check_running()
        forced = self._take_forced()
        self.seconds += time.perf_counter() - start
        return forced

    def begin(self) -> list[int]:
        """Tokens that the grammar forces at the very start; they are taken."""
        start = time.perf_counter()
        forced = self._take_forced()
        self.seconds += time.perf_counter() - start
        return forced

    def _take_forced(self) -> list[int]:
        if self._matcher.is_stopped():
            return []
        forced: list[int] = self._matcher.compute_ff_tokens()
        if forced:
            self._matcher.consume_tokens(forced)
        self._check_running()
        return forced

    def _check_running(self) -> None:
        if self._matcher.is_error():
            raise BadAnswer(f"the grammar failed: {self._matcher.get_error()[:200]}")
