"""Several agents split one plant by the names of its machines, whatever the broker. Pure."""

from __future__ import annotations

import functools
import hashlib
from typing import NamedTuple


class Part(NamedTuple):
    """Part ``number`` (from 1) of a plant in ``of`` parts: each machine is in exactly one of them.

    By rendezvous hashing: one part more takes its machines evenly from the others, and all other
    machines stay where they are.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """``2/3`` → the second of three."""
        number, of = map(int, text.split("/"))
        return cls(number, of)

    def holds(self, name: str) -> bool:
        """Whether the machine is in this part."""
        return _holder(name, self.of) == self.number


@functools.lru_cache(maxsize=10_000)
def _holder(name: str, of: int) -> int:
    def weight(number: int) -> bytes:
        return hashlib.blake2b(f"{number}/{name}".encode(errors="replace"), digest_size=8).digest()

    return max(range(1, of + 1), key=weight)
