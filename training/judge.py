"""What the base model makes of a card: how surprising it is, and a vector of its meaning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 -- as torch's own documentation names it
from numpy.typing import NDArray

from training.network import Network
from training.packing import Tokenize
from training.reading import Card

LONGEST = 400
"""Tokens of a card's texts that are looked at."""


def judge(
    network: Network, tokenize: Tokenize, cards: Sequence[Card]
) -> tuple[list[float], NDArray[np.float32]]:
    """Surprise of each card (mean −log p of a token) and its mean-pooled states (cards, width).

    The network must be untrained: its adapters still add nothing.
    """
    surprises: list[float] = []
    vectors: list[NDArray[np.float32]] = []
    for card in cards:
        text = "\n".join(fault.text for fault in card.faults)
        tokens = torch.tensor(tokenize(text)[:LONGEST])
        size = len(tokens)
        with torch.no_grad():
            mask = torch.ones(size, size).tril().bool()
            states = network(tokens, torch.arange(size), mask)
            head = network.head
            logits = (states[:-1].to(head.dtype) @ head.T).float()
            surprises.append(float(F.cross_entropy(logits, tokens[1:])))
        vectors.append(states.mean(0).numpy())
    return surprises, np.array(vectors)
