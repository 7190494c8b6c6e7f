"""Curation: of texts that mean the same, one is enough. Pure; ``judge`` has the vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.reading import Card


def keep_distinct(cards: Sequence[Card], vectors: NDArray[np.float32], share: float) -> list[Card]:
    """``share`` of the cards, leaving out one by one that whose nearest kept neighbour is nearest.

    ``vectors`` (cards, any width). Greedy farthest-first selection by cosine distance.
    """
    centred = vectors - vectors.mean(0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    count = max(1, round(share * len(cards)))
    kept = [0]
    nearest = unit @ unit[0]
    while len(kept) < count:
        nearest[kept] = np.inf
        chosen = int(nearest.argmin())
        kept.append(chosen)
        nearest = np.maximum(nearest, unit @ unit[chosen])
    return [cards[place] for place in sorted(kept)]
