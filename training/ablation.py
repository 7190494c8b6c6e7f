"""What each stage of the curation is worth: equal token budgets from one common start.

Every arm trains from the same half-trained checkpoint on as many tokens, then reads the same cards.
One seed each: differences within the standard error of the cells mean nothing, and are shown so.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from training.blend import Draw, blended, from_pool
from training.distinct import keep_distinct
from training.evaluate import Read, evaluate
from training.generate import card, cards, source
from training.judge import judge
from training.likeness import resample
from training.network import Network
from training.packing import Tokenize
from training.paraphrase import paraphrased_card
from training.quality import keep_fluent
from training.reading import Card
from training.shipped import score
from training.train import Reader, Recipe, restore, train

POOL = 60
KEPT = 0.6


@dataclass(frozen=True, slots=True)
class Arm:
    """One row of the table."""

    name: str
    cell_accuracy: float
    mentioned_accuracy: float
    fault_top1: float
    shipped_accuracy: float
    error: float
    """Standard error of the cells' accuracy."""


def arms(network: Network, tokenize: Tokenize, targets: Sequence[str]) -> list[tuple[str, Draw]]:
    """The draws to compare; ``network`` must be untrained."""
    origin = source()
    pool = list(islice(cards(origin, 11), POOL))
    surprise, vectors = judge(network, tokenize, pool)

    def fresh(rng: random.Random) -> Card:
        return card(origin, rng)

    return [
        (f"pool of {POOL}, no curation", from_pool(pool)),
        ("quality filter", from_pool(keep_fluent(pool, surprise, KEPT))),
        ("semantic de-duplication", from_pool(keep_distinct(pool, vectors, KEPT))),
        ("target matching", from_pool(resample(pool, targets, KEPT))),
        (
            "blend: half fresh, half matched",
            blended([(0.5, fresh), (0.5, from_pool(resample(pool, targets, KEPT)))]),
        ),
        ("paraphrase", lambda rng: paraphrased_card(card(origin, rng), rng)),
    ]


def run_arm(name: str, draw: Draw, reader: Reader, read: Read, job: Job) -> Arm:
    """Train one arm from the common start and score it."""
    folder = job.folder / name.replace(" ", "-").replace(",", "").replace(":", "")
    if not (folder / "checkpoint.pt").exists():
        restore(job.start, reader.network)
    train(
        reader.network,
        reader.step(draw),
        Recipe(0.0, rate=job.rate, tokens=job.tokens, seed=5),
        folder,
    )
    result = evaluate(job.tests, read)
    shipped = score(job.shipped, read)
    share = result.cell_accuracy
    return Arm(
        name,
        share,
        result.mentioned_accuracy,
        result.fault_top1,
        shipped.cell_accuracy,
        math.sqrt(share * (1 - share) / max(1, result.cells)),
    )


@dataclass(frozen=True, slots=True)
class Job:
    """What all arms share."""

    start: Path
    folder: Path
    tokens: int
    tests: Sequence[Card]
    shipped: Sequence[Card]
    rate: float = 8e-4
