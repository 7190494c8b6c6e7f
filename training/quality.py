"""Curation: leave out what the base model finds least like language. Pure.

``judge`` has the scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.reading import Card


def keep_fluent(cards: Sequence[Card], surprise: Sequence[float], share: float) -> list[Card]:
    """The ``share`` of the cards with the least surprise (mean −log p of a token)."""
    count = max(1, round(share * len(cards)))
    kept = set(np.argsort(np.array(surprise), kind="stable")[:count].tolist())
    return [card for place, card in enumerate(cards) if place in kept]
