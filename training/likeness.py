"""Curation: resample cards towards the wording of real ones. Pure.

Importance weights of hashed word n-grams and Gumbel top-k resampling, after Xie et al. 2023, "Data
selection for language models via importance resampling".
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.reading import Card

BUCKETS = 4096
_WORD = re.compile(r"[a-z]+|[^a-z\s]")


def grams(text: str) -> NDArray[np.float64]:
    """Counts (BUCKETS,) of the words and pairs of words of a text, by hash."""
    words = _WORD.findall(text.lower())
    counts = np.zeros(BUCKETS)
    for gram in (*words, *(f"{a} {b}" for a, b in pairwise(words))):
        counts[zlib.crc32(gram.encode()) % BUCKETS] += 1.0
    return counts


def weights(texts: Sequence[str], targets: Sequence[str]) -> NDArray[np.float64]:
    """Mean log importance (texts,) of each text's n-grams: how much likelier in ``targets``."""
    counted = np.array([grams(text) for text in texts])
    wanted = np.array([grams(text) for text in targets]).sum(0) + 1.0
    usual = counted.sum(0) + 1.0
    importance = np.log(wanted / wanted.sum()) - np.log(usual / usual.sum())
    found: NDArray[np.float64] = counted @ importance / np.maximum(counted.sum(1), 1.0)
    return found


def resample(
    cards: Sequence[Card], targets: Sequence[str], share: float, seed: int = 1
) -> list[Card]:
    """``share`` of the cards drawn without replacement by their importance, in their order."""
    importance = weights([" ".join(fault.text for fault in card.faults) for card in cards], targets)
    # Per word, importance is small: it is scaled by what a card's text is long.
    scale = math.sqrt(30.0 * sum(len(card.faults) for card in cards) / max(1, len(cards)))
    noise = np.random.default_rng(seed).gumbel(size=len(cards))
    count = max(1, round(share * len(cards)))
    kept = set(np.argsort(-(importance * scale + noise), kind="stable")[:count].tolist())
    return [card for place, card in enumerate(cards) if place in kept]
