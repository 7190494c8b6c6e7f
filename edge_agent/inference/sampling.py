"""From logits to a token: greedy, or drawn as the manifest recommends, by a seed."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge_agent.inference.manifest import Sampling

PENALTY_WINDOW = 64
NEAR = 8.0
"""Below the best score, natural logarithm."""


def greedy(logits: NDArray[np.float32]) -> int:
    """The most probable token; the lowest number among equals."""
    return int(np.argmax(logits))


class Sampler:
    """Repeat penalty, top-k, top-p, temperature, in llama.cpp's order; one seed, one text."""

    def __init__(self, sampling: Sampling, seed: int, prompt: list[int]) -> None:
        self._sampling = sampling
        self._random = np.random.default_rng(seed & 0xFFFF_FFFF_FFFF_FFFF)
        self._recent: deque[int] = deque(prompt[-PENALTY_WINDOW:], maxlen=PENALTY_WINDOW)

    @property
    def settings(self) -> dict[str, float]:
        """How it draws."""
        return self._sampling.model_dump()

    def remember(self, tokens: list[int]) -> None:
        """Tokens that were added to the answer: repeating them costs."""
        self._recent.extend(tokens)

    def pick(self, logits: NDArray[np.float32]) -> int:
        """Draw one token; those at minus infinity never come."""
        scores = logits.astype(np.float64)
        seen = np.fromiter(set(self._recent), dtype=np.int64)
        penalty = self._sampling.repeat_penalty
        values = scores[seen]
        scores[seen] = np.where(values > 0, values / penalty, values * penalty)
        best = _leading(scores, self._sampling.top_k)
        kept = _nucleus(scores[best], self._sampling.top_p)
        best = best[:kept]
        weights = _softmax(scores[best] / self._sampling.temperature)
        reached = np.cumsum(weights)[:-1]
        drawn = int(np.count_nonzero(reached <= self._random.random()))
        return int(best[drawn])


def _leading(scores: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Up to ``count`` tokens with the highest scores, those first; none at minus infinity. Only
    what comes near the best is sorted, as it is nearly always enough."""
    near = np.flatnonzero(scores > scores.max() - NEAR)
    if len(near) < count:
        near = np.flatnonzero(np.isfinite(scores))
    if len(near) > count:
        near = near[np.argpartition(scores[near], -count)[-count:]]
    return near[np.lexsort((near, -scores[near]))]


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(scores - scores.max())
    result: NDArray[np.float64] = weights / weights.sum()
    return result


def _nucleus(descending: NDArray[np.float64], top_p: float) -> int:
    """How many of the leading tokens reach ``top_p`` together; at least one."""
    reached = np.cumsum(_softmax(descending))
    return min(int(np.count_nonzero(reached < top_p)) + 1, len(descending))


def log_probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Natural logarithms of the softmax."""
    scores = logits.astype(np.float64)
    top = scores.max()
    result: NDArray[np.float64] = scores - top - np.log(np.exp(scores - top).sum())
    return result
