"""The mean of two runs' adapters, of which the second went on from the first.

What a run learns on harder texts it pays for on others; between the two lies often more than at
either end (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"). A and B are averaged
each for itself, which is sound for runs that lie close together and no others.
"""

from __future__ import annotations

from pathlib import Path

import torch

from training.network import Network
from training.train import Progress, keep, restore


def average(first: Path, second: Path, network: Network, folder: Path, share: float) -> Progress:
    """Write the checkpoint (1 − ``share``) · first + ``share`` · second to ``folder``. Both must
    have the shape of ``network``. Returns the second's progress."""
    restore(first, network)
    before = [weight.detach().clone() for weight in network.trained()]
    progress = restore(second, network)
    with torch.no_grad():
        for weight, old in zip(network.trained(), before, strict=True):
            weight.mul_(share).add_(old, alpha=1 - share)
    keep(folder, network, None, progress)
    return progress
