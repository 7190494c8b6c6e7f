"""Curation: say the same once more in another way. Pure; what the text says stays the same.

Rewrites whole texts where the generator works clause by clause: order of the sentences, contrast
("does not rise but falls"), framing, connectives.
"""

from __future__ import annotations

import random
import re
from dataclasses import replace

from training.reading import Card, FaultText

FRAMES = (
    "What we see in that case: {}",
    "From the handbook: {}",
    "{} This is the usual picture.",
    "Note of the night shift: {}",
    "{} (confirmed by the manufacturer)",
    "In short: {}",
    "Experience tells the following. {}",
)
CONTRASTS = (
    (r"\bfalls\b", "does not rise but falls"),
    (r"\brises\b", "does not fall but rises"),
    (r"\bfalls\b", "falls instead of rising"),
    (r"\brises\b", "rises instead of falling"),
    (r"\bis unchanged\b", "is neither higher nor lower than before"),
    (r"\bdrops\b", "drops rather than climbs"),
    (r"\bincreases\b", "increases rather than decreases"),
)
LINKS = ((", and ", "; moreover "), (", while ", "; at the same time "), ("; ", ". Besides, "))
_SENTENCE = re.compile(r"(?<=[.!?]) +(?=[A-Z])")


def paraphrased(fault: FaultText, rng: random.Random) -> FaultText:
    """The fault with a text that says the same; one to three rewritings."""
    text = fault.text
    for rewrite in rng.sample((_contrast, _order, _frame, _link), rng.randint(1, 3)):
        text = rewrite(text, rng)
    return replace(fault, text=text)


def paraphrased_card(card: Card, rng: random.Random, share: float = 0.5) -> Card:
    """The card with that share of its faults said in another way."""
    faults = tuple(
        paraphrased(fault, rng) if rng.random() < share else fault for fault in card.faults
    )
    return replace(card, faults=faults)


def _contrast(text: str, rng: random.Random) -> str:
    pattern, other = rng.choice(CONTRASTS)
    return re.sub(pattern, other, text, count=1)


def _order(text: str, _rng: random.Random) -> str:
    """Moves the first sentence to the end, if no later one leans on it."""
    sentences = _SENTENCE.split(text)
    if len(sentences) < 3 or any(s.startswith(("It ", "This ", "That ")) for s in sentences):
        return text
    return " ".join([*sentences[1:], sentences[0]])


def _frame(text: str, rng: random.Random) -> str:
    return rng.choice(FRAMES).format(text)


def _link(text: str, rng: random.Random) -> str:
    old, new = rng.choice(LINKS)
    return text.replace(old, new, 1)
