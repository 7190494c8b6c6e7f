"""The room of a KV cache: sequence ids that are free, and the cells that kept prefixes take."""

from __future__ import annotations

from edge_agent.inference.native import Context
from edge_agent.inference.prefixes import Prefixes

KEPT_PREFIXES = 8


class Cells:
    """Of one context. What answers take is the engine's to count."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.free = list(range(context.shape.sequences))
        """Sequence ids that nobody uses."""
        self.prefixes = Prefixes(KEPT_PREFIXES)

    def left(self, reserved: int) -> int:
        """Cells beside the prefixes and the ``reserved`` ones."""
        return self._context.tokens - self.prefixes.tokens - reserved

    def evict(self) -> bool:
        """Forget the prefix that was not used for longest; False if there is none to forget."""
        prefix = self.prefixes.evict()
        if prefix is None:
            return False
        self.give_back([prefix.sequence])
        return True

    def borrow(self, count: int) -> list[int]:
        """Up to ``count`` sequence ids; give them back with ``give_back``."""
        taken = self.free[-count:]
        del self.free[-count:]
        return taken

    def give_back(self, sequences: list[int]) -> None:
        """Return sequence ids; what they held is forgotten."""
        for sequence in sequences:
            self._context.drop(sequence)
        self.free += sequences
