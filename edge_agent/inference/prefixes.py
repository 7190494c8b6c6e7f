"""Prompt prefixes kept in the KV cache: which there are, and which goes when room is needed."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(slots=True)
class Prefix:
    """One system text and card, computed once with one adapter (its hash; empty: none): its tokens
    stand in ``sequence``."""

    adapter: str
    tokens: tuple[int, ...]
    sequence: int
    users: int = 0
    """Answers in the making that share its cells."""


class Prefixes:
    """Least recently used first. Bookkeeping only: the engine owns the cache itself."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[tuple[str, tuple[int, ...]], Prefix] = OrderedDict()

    @property
    def tokens(self) -> int:
        """Cells that all kept prefixes occupy."""
        return sum(len(prefix.tokens) for prefix in self._kept.values())

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def full(self) -> bool:
        """Whether one must go before another can be kept."""
        return len(self._kept) >= self._capacity

    def find(self, adapter: str, tokens: tuple[int, ...]) -> Prefix | None:
        """The kept prefix with exactly these tokens, now the most recently used."""
        prefix = self._kept.get((adapter, tokens))
        if prefix is not None:
            self._kept.move_to_end((adapter, tokens))
        return prefix

    def keep(self, adapter: str, tokens: tuple[int, ...], sequence: int) -> Prefix:
        """Remember that ``sequence`` holds ``tokens``."""
        prefix = Prefix(adapter, tokens, sequence)
        self._kept[adapter, tokens] = prefix
        return prefix

    def evict(self) -> Prefix | None:
        """Forget the least recently used one that no answer shares; None if there is none."""
        for key, prefix in self._kept.items():
            if prefix.users == 0:
                del self._kept[key]
                return prefix
        return None
