"""Draft tokens by prompt lookup: an answer often repeats words of its prompt or of itself.

What followed the last two tokens when they stood in the text before is computed in the same batch
as the next token. The engine then chooses tokens as it always does, and each that equals its draft
has its logits already; the first that does not ends the draft. So drafts change no answer, neither
a greedy one nor a drawn one: they only save decode calls (speculative decoding with a point mass as
the draft's distribution, after Saxena's prompt lookup decoding).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

from edge_agent.inference.native import Context, Row

FIRST = 2
"""Tokens of a first draft."""
LONGEST = 7
ROWS = 8
"""Draft tokens in one batch, all its answers together."""
TRIES, TRIED = 3, 4
"""How often, and with how many tokens at once, it is measured whether drafts pay."""
LEAST_SHARE = 0.8
"""Of the processor time that the threads could have had, for a measurement to count."""
LARGEST_COST = 0.3
"""Computing a draft token may cost at most this part of a decode call of its own, or none is made.
In answers of the embedded model to the bench's questions, drafts leave 55 % of the decode time at a
cost of 0.1 and 74 % at 0.3 where the text copies its prompt (greedy), and 94 % and 99 % where it is
drawn; at 0.4 drawn ones lose."""


class PromptLookup:
    """The text of one prompt and its answer, by its pairs of tokens. Deterministic."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._text = list(tokens)
        self._after: dict[tuple[int, int], int] = {}
        self._indexed = 0
        self._length = FIRST

    def extend(self, tokens: Sequence[int]) -> None:
        """Tokens that were added to the answer."""
        self._text += tokens

    def draft(self, most: int) -> list[int]:
        """Up to ``most`` tokens that may come next; often none."""
        text = self._text
        self._index()
        if most <= 0 or len(text) < 2:
            return []
        start = self._after.get((text[-2], text[-1]))
        return [] if start is None else text[start : start + min(most, self._length)]

    def _index(self) -> None:
        """Note where each pair was followed by something; the latest place counts."""
        for i, pair in enumerate(pairwise(self._text[self._indexed : -1]), self._indexed):
            self._after[pair] = i + 2
        self._indexed = max(0, len(self._text) - 2)

    def judge(self, proposed: int, accepted: int) -> None:
        """Longer drafts while they hold, shorter ones where they break."""
        if proposed:
            whole = accepted == proposed
            self._length = min(LONGEST, 2 * self._length) if whole else max(FIRST, accepted)


def drafts_pay(context: Context) -> bool:
    """Measure on an empty ``context`` whether further tokens of a batch are cheap here. No, if
    other programs held the cores meanwhile: threads that wait for each other look as if they
    waited for memory."""
    single = min(_seconds(context, 1) for _ in range(TRIES))
    several = min(_seconds(context, TRIED) for _ in range(TRIES))
    measured = max(single, several) < float("inf")
    return measured and (several - single) / (TRIED - 1) <= LARGEST_COST * single


def _seconds(context: Context, count: int) -> float:
    """Of a decode call for ``count`` tokens, whichever they are; infinite if it was disturbed."""
    rows = [Row(token, token, 0, logits=True) for token in range(count)]
    started, cpu = time.perf_counter(), time.process_time()
    context.decode(rows)
    context.logits(count - 1)
    took, used = time.perf_counter() - started, time.process_time() - cpu
    context.drop(0)
    return took if used >= LEAST_SHARE * took * context.shape.threads else float("inf")


def shared_start(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the longest beginning that both have."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count
