"""What hurried people and other mother tongues do to English. Pure; labels stay true."""

from __future__ import annotations

import random
import re

_ARTICLE = re.compile(r"\b(?:the|a|an) ", re.IGNORECASE)
_LONG = re.compile(r"[a-z]{5,}")
KEPT = re.compile(r"higher|lower|rises?|falls?|never|neither|unchanged|increase|decrease")


def spoil(text: str, rng: random.Random, share: float = 0.25) -> str:
    """Sometimes articles go, sometimes letters swap, sometimes capitals and stops are left out."""
    if rng.random() >= share:
        return text
    kind = rng.choice(("articles", "typos", "typos", "lower", "loud", "both"))
    if kind in ("articles", "both"):
        text = _ARTICLE.sub(lambda match: match.group() if rng.random() < 0.25 else "", text)
    if kind in ("typos", "both"):
        text = _LONG.sub(lambda match: _typo(match.group(), rng), text)
    if kind == "lower":
        text = text.lower()
    if kind == "loud":
        text = text.upper() if rng.random() < 0.15 else text.replace(".", " -")
    return text


def _typo(word: str, rng: random.Random) -> str:
    """Swaps, drops or doubles a letter inside the word, rarely, and never in a word whose
    neighbour means another direction."""
    if rng.random() > 0.07 or KEPT.fullmatch(word):
        return word
    at = rng.randrange(1, len(word) - 2)
    match rng.randrange(3):
        case 0:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case 1:
            return word[:at] + word[at + 1 :]
        case _:
            return word[:at] + word[at] + word[at:]
