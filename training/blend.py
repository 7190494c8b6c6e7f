"""Curation: draw from several sources in given shares. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from training.reading import Card

Draw = Callable[[random.Random], Card]


def blended(parts: Sequence[tuple[float, Draw]]) -> Draw:
    """Draws from each part as often as its share says; the shares need not sum to 1."""
    shares = [share for share, _ in parts]
    draws = [draw for _, draw in parts]

    def draw(rng: random.Random) -> Card:
        return rng.choices(draws, shares)[0](rng)

    return draw


def from_pool(cards: Sequence[Card]) -> Draw:
    """Draws from a curated pool, any number of times."""
    return lambda rng: rng.choice(cards)
