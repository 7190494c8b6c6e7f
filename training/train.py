"""Supervised tuning of the adapter: fresh cards until the time is up.

Every step is one card, drawn by seed and step, so that a run that was cut off goes on where its
last checkpoint stands and sees the same cards. The learning rate falls to nothing over the budget.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 -- as torch's own documentation names it
from numpy.typing import NDArray
from torch import Tensor

from edge_agent.diagnose.fault_reading import SIGNAL_WORDS, SPEED_WORDS
from training.network import AdapterShape, Network
from training.packing import Packed, Tokenize, pack
from training.reading import Card
from training.tokens import single

LONGEST = 800
"""Tokens of a card; a longer one is drawn again."""
KEEP_EVERY_S = 60.0
SHOW_EVERY_S = 15.0

Draw = Callable[[random.Random], Card]
Step = Callable[[random.Random], tuple[Tensor, int]]
"""Draws one example and gives its loss and its tokens."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a run does."""

    minutes: float
    rate: float = 1e-3
    warmup: float = 0.02
    seed: int = 1
    shape: AdapterShape = field(default_factory=AdapterShape)
    tokens: int = 0
    """Stop after so many tokens instead, if positive: what ablations are measured by."""


@dataclass(slots=True)
class Progress:
    """Where a run stands; kept with the checkpoint."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    """Of the last steps, averaged."""
    curve: list[tuple[int, float]] = field(default_factory=list)
    """(tokens, loss) now and then."""


def fast_type() -> torch.dtype:
    """bfloat16 where this processor multiplies it faster than float32, else float32."""
    best, fastest = torch.float32, float("inf")
    for dtype in (torch.float32, torch.bfloat16):
        a, b = torch.randn(256, 576).to(dtype), torch.randn(1536, 576).to(dtype)
        took = []
        for _ in range(12):
            begin = time.perf_counter()
            a @ b.T
            took.append(time.perf_counter() - begin)
        if min(took) < 0.8 * fastest:
            best, fastest = dtype, min(took)
    return best


class Reader:
    """The network with the words it may answer."""

    def __init__(self, network: Network, tokenize: Tokenize) -> None:
        self.network = network
        self.tokenize = tokenize
        self._signal = torch.tensor(single(tokenize, SIGNAL_WORDS))
        self._speed = torch.tensor(single(tokenize, SPEED_WORDS))

    def log_chances(self, packed: Packed) -> Tensor:
        """Log probabilities (Q, words of a signal); a speed's fill the first columns."""
        states = self.network(
            torch.from_numpy(packed.tokens),
            torch.from_numpy(packed.positions),
            torch.from_numpy(packed.mask),
        )[torch.from_numpy(packed.asked)]
        signal = F.log_softmax(self.network.scores(states, self._signal), dim=-1)
        speed = F.log_softmax(self.network.scores(states, self._speed), dim=-1)
        speed = F.pad(speed, (0, len(SIGNAL_WORDS) - len(SPEED_WORDS)), value=-1e9)
        return torch.where(torch.from_numpy(packed.speed)[:, None], speed, signal)

    def read(self, card: Card) -> NDArray[np.float64]:
        """Probabilities (questions, words of a signal) in packing order, without gradients."""
        with torch.no_grad():
            logs = self.log_chances(pack(card, self.tokenize))
        return logs.exp().numpy().astype(np.float64)

    def loss(self, packed: Packed) -> Tensor:
        """Mean cross entropy of the questions."""
        logs = self.log_chances(packed)
        return -(torch.from_numpy(packed.targets) * logs).sum(-1).mean()

    def step(self, draw: Draw) -> Step:
        """Learns from what ``draw`` gives."""

        def one(rng: random.Random) -> tuple[Tensor, int]:
            packed = drawn(draw, rng, self.tokenize)
            return self.loss(packed), len(packed.tokens)

        return one


def train(network: Network, step: Step, recipe: Recipe, folder: Path) -> Progress:
    """Train until the budget is spent, from the checkpoint in ``folder`` if there is one."""
    optimizer = torch.optim.AdamW(
        network.trained(), lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    progress = restore(folder, network, optimizer)
    run = _Run(time.perf_counter() - progress.seconds, recipe)
    kept = shown = time.perf_counter()
    while (share := run.share(progress)) < 1.0:
        rate = recipe.rate * min(1.0, (share + 1e-4) / recipe.warmup) * (1.0 - share)
        for group in optimizer.param_groups:
            group["lr"] = rate
        rng = random.Random(f"{recipe.seed}:{progress.step}")  # noqa: S311 -- synthetic texts
        loss, tokens = step(rng)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.trained(), 1.0)
        optimizer.step()
        _count(progress, tokens, float(loss), time.perf_counter() - run.begin)
        now = time.perf_counter()
        if now - shown > SHOW_EVERY_S:
            shown = now
            _show(progress, run)
        if now - kept > KEEP_EVERY_S:
            kept = now
            keep(folder, network, optimizer, progress)
    keep(folder, network, optimizer, progress)
    return progress


@dataclass(frozen=True, slots=True)
class _Run:
    begin: float
    recipe: Recipe

    def share(self, progress: Progress) -> float:
        """Part of the budget that is spent."""
        if self.recipe.tokens:
            return progress.tokens / self.recipe.tokens
        return progress.seconds / (60.0 * self.recipe.minutes)


def drawn(draw: Draw, rng: random.Random, tokenize: Tokenize) -> Packed:
    """The next card that is not too long."""
    while True:
        packed = pack(draw(rng), tokenize)
        if len(packed.tokens) <= LONGEST:
            return packed


def _count(progress: Progress, tokens: int, loss: float, seconds: float) -> None:
    progress.step += 1
    progress.tokens += tokens
    progress.seconds = seconds
    weight = max(0.03, 1.0 / progress.step)
    progress.loss += weight * (loss - progress.loss)
    if progress.step % 50 == 0:
        progress.curve.append((progress.tokens, round(progress.loss, 4)))


def _show(progress: Progress, run: _Run) -> None:
    sys.stderr.write(
        f"{run.share(progress):4.0%}  step {progress.step}  {progress.tokens} tokens  "
        f"loss {progress.loss:.3f}  {progress.tokens / progress.seconds:.0f} tokens/s\n"
    )
    sys.stderr.flush()


def keep(
    folder: Path, network: Network, optimizer: torch.optim.Optimizer | None, progress: Progress
) -> None:
    """Write a checkpoint; the former one stays until this one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    state: dict[str, Any] = {
        "adapter": {n: (x.a, x.b) for n, x in network.adapters()},
        "optimizer": optimizer.state_dict() if optimizer else None,
        "progress": asdict(progress),
        "shape": asdict(network.shape),
    }
    torch.save(state, folder / "checkpoint.new")
    (folder / "checkpoint.new").replace(folder / "checkpoint.pt")


def restore(
    folder: Path, network: Network, optimizer: torch.optim.Optimizer | None = None
) -> Progress:
    """Load the checkpoint of ``folder`` into the network; a fresh ``Progress`` if there is none."""
    file = folder / "checkpoint.pt"
    if not file.exists():
        return Progress()
    state = torch.load(file, weights_only=True)
    with torch.no_grad():
        for name, linear in network.adapters():
            assert linear.a is not None and linear.b is not None  # noqa: S101, PT018 -- adapted
            a, b = state["adapter"][name]
            linear.a.copy_(a)
            linear.b.copy_(b)
    if optimizer and state["optimizer"]:
        optimizer.load_state_dict(state["optimizer"])
    return Progress(**state["progress"])
