"""Many questions about one card as one sequence: a tree. Pure.

All faults of a card share its list of signals, all questions about a fault share its text. Each
token sees its own ancestors only and counts its position along them, so that every answer is what
the gateway gets when it evaluates that prefix and that question alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.diagnose.fault_reading import (
    SIGNAL_WORDS,
    SPEED_QUESTION,
    SPEED_WORDS,
    reading_prefix,
    signal_question,
)
from training.reading import Card

Tokenize = Callable[[str], list[int]]


@dataclass(frozen=True, slots=True)
class Packed:
    """One card as arrays."""

    tokens: NDArray[np.int64]
    """(L,)"""
    positions: NDArray[np.int64]
    """(L,)"""
    mask: NDArray[np.bool_]
    """(L, L)"""
    asked: NDArray[np.int64]
    """(Q,) places of the last tokens of the questions."""
    speed: NDArray[np.bool_]
    """(Q,) whether the question is the one for the speed."""
    targets: NDArray[np.float32]
    """(Q, words of a signal) probabilities; a speed's fill the first columns."""


class Tree:
    """Grows node by node; a node is a run of tokens after its parent's."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.positions: list[int] = []
        self.nodes: list[tuple[int, int, int]] = []
        """Parent node (−1: none), first token, one past the last."""

    def grow(self, parent: int, tokens: Sequence[int]) -> int:
        """Add a node after ``parent`` (−1: the root) and return its number."""
        start = self.positions[self.nodes[parent][2] - 1] + 1 if parent >= 0 else 0
        first = len(self.tokens)
        self.tokens += tokens
        self.positions += range(start, start + len(tokens))
        self.nodes.append((parent, first, len(self.tokens)))
        return len(self.nodes) - 1

    def mask(self) -> NDArray[np.bool_]:
        """(L, L): true where the row's token sees the column's."""
        size = len(self.tokens)
        seen = np.zeros((size, size), dtype=np.bool_)
        for parent, first, end in self.nodes:
            if parent >= 0:
                _, _, last = self.nodes[parent]
                seen[first:end] = seen[last - 1]
            seen[first:end, first:end] = np.tri(end - first, dtype=np.bool_)
        return seen


def pack(card: Card, tokenize: Tokenize) -> Packed:
    """The sequence of a card. Raises ``ValueError`` if a fault lacks the target of a signal."""
    tree = Tree()
    prefixes = [tokenize(reading_prefix(card.labels, fault.text)) for fault in card.faults]
    shared = _common(prefixes)
    root = tree.grow(-1, prefixes[0][:shared])
    asked: list[int] = []
    speed: list[bool] = []
    targets = np.zeros((0, len(SIGNAL_WORDS)), dtype=np.float32)
    questions = [tokenize(signal_question(label)) for label in card.labels]
    for fault, prefix in zip(card.faults, prefixes, strict=True):
        node = tree.grow(root, prefix[shared:])
        for question, target in zip(questions, fault.signals, strict=True):
            leaf = tree.grow(node, question)
            asked.append(tree.nodes[leaf][2] - 1)
            speed.append(False)
            targets = np.vstack([targets, _row(target, SIGNAL_WORDS)])
        leaf = tree.grow(node, tokenize(SPEED_QUESTION))
        asked.append(tree.nodes[leaf][2] - 1)
        speed.append(True)
        targets = np.vstack([targets, _row(fault.speed, SPEED_WORDS)])
    return Packed(
        np.array(tree.tokens, dtype=np.int64),
        np.array(tree.positions, dtype=np.int64),
        tree.mask(),
        np.array(asked, dtype=np.int64),
        np.array(speed, dtype=np.bool_),
        targets,
    )


def _common(sequences: Sequence[Sequence[int]]) -> int:
    """Length of what all of them begin with, at least one token less than the shortest."""
    shortest = min(len(one) for one in sequences) - 1
    for place in range(shortest):
        if len({one[place] for one in sequences}) > 1:
            return place
    return shortest


def _row(target: dict[str, float], words: Sequence[str]) -> NDArray[np.float32]:
    row = np.zeros(len(SIGNAL_WORDS), dtype=np.float32)
    for word, share in target.items():
        row[words.index(word)] = share
    return row
