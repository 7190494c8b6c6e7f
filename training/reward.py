"""The stage after supervised tuning: rewarded by a checker, held near the tuned model.

An answer about a signal is one of six words, so nothing has to be sampled: the expected reward and
its gradient are exact, Σ p(word) · right(word). The bound is the usual one, β · KL(p ‖ tuned).
"""

from __future__ import annotations

import random

import torch
from torch import Tensor

from training.packing import Packed
from training.train import Draw, Reader, Step, drawn

BOUND = 0.1
"""β: how much of a reward one nat of distance costs."""


def rewarded_loss(reader: Reader, tuned: Reader, packed: Packed, bound: float = BOUND) -> Tensor:
    """−(expected reward) + ``bound`` · KL, mean over the questions; the reward of a word is 1 where
    the generator's labels make it the right one."""
    logs = reader.log_chances(packed)
    with torch.no_grad():
        before = tuned.log_chances(packed)
        targets = torch.from_numpy(packed.targets)
        right = (targets == targets.max(1, keepdim=True).values).float()
    chances = logs.exp()
    distance = (chances * (logs - before)).sum(1)
    return (bound * distance - (chances * right).sum(1)).mean()


def rewarded_step(reader: Reader, tuned: Reader, draw: Draw) -> Step:
    """Learns from the checker's word on what ``draw`` gives."""

    def one(rng: random.Random) -> tuple[Tensor, int]:
        packed = drawn(draw, rng, reader.tokenize)
        return rewarded_loss(reader, tuned, packed), len(packed.tokens)

    return one
