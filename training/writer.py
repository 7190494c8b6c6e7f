"""The network as a writer of explanations: several answers to one question as one sequence."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 -- as torch's own documentation names it
from numpy.typing import NDArray
from torch import Tensor

from edge_agent.inference.template import answer_part, prefix_parts, tokens_of
from training.network import Network
from training.packing import Tree
from training.tokens import Tokenizer
from training.train import Step
from training.wording import Explained, as_answer
from training.wording_prompt import WORDING_SYSTEM

TEMPLATE = "chatml"
OPENING = '{"explanation":"'
LONGEST = 700


@dataclass(frozen=True, slots=True)
class Written:
    """One case as arrays: ``tokens``, ``positions`` (L,), ``mask`` (L, L); the token at each of
    ``asked`` (T,) is to be followed by that of ``owed`` (T,)."""

    tokens: NDArray[np.int64]
    positions: NDArray[np.int64]
    mask: NDArray[np.bool_]
    asked: NDArray[np.int64]
    owed: NDArray[np.int64]


def prompt_tokens(question: str, tokenize: Tokenizer) -> list[int]:
    """The prompt as the gateway's engine makes it, up to the answer's first own character."""
    head = tokens_of(prefix_parts(TEMPLATE, WORDING_SYSTEM, ""), tokenize)
    tail = tokens_of([answer_part(TEMPLATE)], tokenize)
    return head + tokenize(question) + tail + tokenize(OPENING)


def write(case: Explained, tokenize: Tokenizer) -> Written:
    """The sequence of a case: its question once, then each answer as a branch."""
    tree = Tree()
    root = tree.grow(-1, prompt_tokens(case.question, tokenize))
    asked: list[int] = []
    owed: list[int] = []
    opening = tokenize(OPENING)
    for answer in case.answers:
        tokens = tokenize(as_answer(answer))
        if tokens[: len(opening)] != opening:
            continue  # the answer's first word merges with the quotation mark
        rest = tokens[len(opening) :]
        leaf = tree.grow(root, rest)
        first = tree.nodes[leaf][1]
        asked += [tree.nodes[root][2] - 1, *range(first, first + len(rest) - 1)]
        owed += rest
    return Written(
        np.array(tree.tokens, dtype=np.int64),
        np.array(tree.positions, dtype=np.int64),
        tree.mask(),
        np.array(asked, dtype=np.int64),
        np.array(owed, dtype=np.int64),
    )


def writing_loss(network: Network, written: Written) -> Tensor:
    """Mean cross entropy of the answers' tokens."""
    states = network(
        torch.from_numpy(written.tokens),
        torch.from_numpy(written.positions),
        torch.from_numpy(written.mask),
    )[torch.from_numpy(written.asked)]
    return F.cross_entropy(network.all_scores(states), torch.from_numpy(written.owed))


def writing_step(
    network: Network, tokenize: Tokenizer, draw: Callable[[random.Random], Explained]
) -> Step:
    """Learns from what ``draw`` gives."""

    def one(rng: random.Random) -> tuple[Tensor, int]:
        while True:
            written = write(draw(rng), tokenize)
            if len(written.owed) and len(written.tokens) <= LONGEST:
                return writing_loss(network, written), len(written.tokens)

    return one
