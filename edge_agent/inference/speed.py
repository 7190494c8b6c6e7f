"""About how fast a model will be on this machine, before it is loaded.

Decoding reads all weights once a token, so it goes by memory bandwidth; a prompt goes by
arithmetic, two operations per weight and token. Both are measured in a moment with numpy, by the
processor time of one core, so that a busy machine does not look slow. What llama.cpp makes of them
is a rule of thumb: right within a factor of two or so, where ``model tune`` measures.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_agent.inference.gguf import Header

BYTES = 256 << 20
"""Read to measure the bandwidth: more than any cache holds."""
SIDE = 1024
ROUNDS = 3
DECODE_SHARE = 0.25
"""Of the bandwidth, that decoding reached with a 4.5-billion model in 4 bit on two cores."""
PREFILL_SHARE = 0.6
"""Of the arithmetic of 32-bit matrices, that 4- to 8-bit weights reach."""

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Machine:
    """What was measured of it."""

    bytes_per_second: float
    operations_per_second: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second."""

    prefill: float
    decode: float
    measured: bool = False
    """By ``model tune``; else estimated."""

    def seconds(self, prompt: int, answer: int) -> float:
        """Of a prompt of so many new tokens and an answer of so many."""
        return prompt / self.prefill + answer / self.decode


def measure_machine(cores: int, clock: Clock = time.process_time) -> Machine:
    """Rate of reading memory and of 32-bit matrix products on so many cores: the best round of one
    core, times their number; for reading two at most, which fill the bus."""
    block = np.ones(BYTES // 8)
    matrix = np.ones((SIDE, SIDE), dtype=np.float32)
    reads = _best(block.sum, clock)
    products = _best(lambda: matrix @ matrix, clock)
    return Machine(min(2, cores) * BYTES / reads, cores * 2 * SIDE**3 / products)


def _best(work: Callable[[], object], clock: Clock) -> float:
    seconds = []
    for _ in range(ROUNDS):
        started = clock()
        work()
        seconds.append(clock() - started)
    return max(min(seconds), 1e-9)


def estimate(header: Header, machine: Machine) -> Speed:
    """Of the model with this header."""
    weights = sum(math.prod(tensor.shape) for tensor in header.tensors)
    prefill = PREFILL_SHARE * machine.operations_per_second / (2 * weights)
    decode = DECODE_SHARE * machine.bytes_per_second / header.weight_bytes
    return Speed(round(prefill, 2), round(decode, 2))
