"""Tokens are drawn as the manifest says: the definition, written plainly, beside what runs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_agent.inference.manifest import Sampling
from edge_agent.inference.sampling import Sampler

DRAWS = 4000


def plain_distribution(logits: NDArray[np.float64], sampling: Sampling) -> NDArray[np.float64]:
    """Top-k, top-p over what is left, temperature; no penalty."""
    order = [t for t in np.argsort(-logits, kind="stable") if np.isfinite(logits[t])]
    order = order[: sampling.top_k]
    weights = np.exp(logits[order] - logits[order[0]])
    reached = np.cumsum(weights / weights.sum())
    order = order[: int(np.sum(reached < sampling.top_p)) + 1]
    weights = np.exp((logits[order] - logits[order[0]]) / sampling.temperature)
    result = np.zeros(len(logits))
    result[order] = weights / weights.sum()
    return result


@pytest.mark.parametrize("spread", [0.2, 2.0, 20.0])
@pytest.mark.parametrize("allowed", [3, 30, 300])
def test_draws_follow_the_definition(spread: float, allowed: int) -> None:
    sampling = Sampling(top_k=20, top_p=0.9, temperature=0.7, repeat_penalty=1)
    random = np.random.default_rng(allowed)
    logits = np.full(300, -np.inf, np.float32)
    logits[random.permutation(300)[:allowed]] = spread * random.standard_normal(allowed)
    expected = plain_distribution(logits.astype(np.float64), sampling)
    sampler = Sampler(sampling, 7, [])
    drawn = np.bincount([sampler.pick(logits) for _ in range(DRAWS)], minlength=300) / DRAWS
    assert set(np.flatnonzero(drawn)) <= set(np.flatnonzero(expected))
    error = np.sqrt(expected * (1 - expected) / DRAWS)
    assert np.all(np.abs(drawn - expected) <= 5 * error + 1e-9)


def test_repeated_tokens_cost() -> None:
    logits = np.array([2.0, 1.9, -1.0], np.float32)
    sampling = Sampling(top_k=1, repeat_penalty=1.1)
    assert Sampler(sampling, 1, []).pick(logits) == 0
    assert Sampler(sampling, 1, [0]).pick(logits) == 1
