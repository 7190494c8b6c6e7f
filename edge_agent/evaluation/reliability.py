"""Whether a published probability means what it says. Pure."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

BINS = 10
DRAWS = 500

Bin = tuple[float, float, int]
"""Mean probability, share of right answers, number of answers."""


def reliability(pairs: Sequence[tuple[float, bool]]) -> list[Bin]:
    """(mean probability, share of right ones, count) of each of ten equal bins that holds any."""
    bins: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for p, right in pairs:
        bins[min(BINS - 1, int(p * BINS))].append((p, right))
    return [
        (
            round(sum(p for p, _ in one) / len(one), 4),
            round(sum(right for _, right in one) / len(one), 4),
            len(one),
        )
        for _, one in sorted(bins.items())
    ]


def calibration_error(pairs: Sequence[tuple[float, bool]]) -> float:
    """Expected calibration error over ten equal bins (Naeini et al. 2015)."""
    gaps = sum(abs(p - right) * count for p, right, count in reliability(pairs))
    return round(gaps / max(1, len(pairs)), 4)


def error_by_chance(bins: Sequence[Bin]) -> float:
    """The calibration error that probabilities which are exactly right would show on so few
    answers: the mean over drawn ones. An error hardly above it says nothing against them."""
    rng = random.Random(0)  # noqa: S311 - a simulation
    total = sum(count for *_, count in bins)
    error = 0.0
    for _ in range(DRAWS):
        for p, _, count in bins:
            error += abs(p * count - sum(rng.random() < p for _ in range(count)))
    return round(error / max(1, total) / DRAWS, 4)


def pooled(
    reports: Sequence[Mapping[str, Any]], ways: Sequence[str], views: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Over all sets, by way and view: answers and calibration error, and what it is by chance."""
    found: dict[str, dict[str, Any]] = {}
    for way in ways:
        for view in views:
            rows = [one.get(way, {}).get(view) or {} for one in reports]
            bins: dict[int, list[Bin]] = defaultdict(list)
            for p, right, count in (each for row in rows for each in row.get("reliability", ())):
                bins[min(BINS - 1, int(p * BINS))].append((p, right, count))
            total = sum(count for each in bins.values() for *_, count in each)
            if not total:
                continue
            gaps = (abs(sum((p - right) * n for p, right, n in each)) for each in bins.values())
            found.setdefault(way, {})[view] = {
                "answered": total,
                "ece": round(sum(gaps) / total, 4),
                "ece_by_chance": error_by_chance([_merged(each) for each in bins.values()]),
            }
    return found


def _merged(bins: Sequence[Bin]) -> Bin:
    count = sum(n for *_, n in bins)
    p, right = (sum(one[at] * one[2] for one in bins) / count for at in (0, 1))
    return p, right, count
