"""Whether the exported adapter on the quantized model answers as the network in torch did.

Runs llama.cpp through its Python binding, question by question, as the gateway evaluates them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.diagnose.fault_reading import (
    SIGNAL_WORDS,
    SPEED_QUESTION,
    SPEED_WORDS,
    reading_prefix,
    signal_question,
)
from training.reading import Card, best
from training.tokens import single

CONTEXT = 2048


@dataclass(frozen=True, slots=True)
class Parity:
    """Answers of llama.cpp against those of torch."""

    questions: int
    agree: float
    """Share of questions with the same most probable word."""
    largest: float
    """Largest difference of a probability."""
    mean: float
    right: float
    """Share of llama.cpp's answers that are right."""
    right_torch: float


class LlamaReader:
    """The base model in llama.cpp with an adapter, or without."""

    def __init__(self, base: Path, adapter: Path | None) -> None:
        import llama_cpp

        self._llama: Any = llama_cpp.Llama(
            str(base),
            n_ctx=CONTEXT,
            n_threads=1,
            n_threads_batch=1,
            verbose=False,
            lora_path=str(adapter) if adapter else None,
        )
        self._c: Any = llama_cpp

    def tokenize(self, text: str) -> list[int]:
        """As the gateway does: no control tokens, no start token."""
        return [int(t) for t in self._llama.tokenize(text.encode(), add_bos=False, special=False)]

    def read(self, labels: Sequence[str], text: str) -> NDArray[np.float64]:
        """Probabilities (signals + 1, words of a signal), the speed last."""
        words = (single(self.tokenize, SIGNAL_WORDS), single(self.tokenize, SPEED_WORDS))
        prefix = self.tokenize(reading_prefix(labels, text))
        self._llama.reset()
        self._llama.eval(prefix)
        rows = np.zeros((len(labels) + 1, len(SIGNAL_WORDS)))
        for number, label in enumerate((*labels, None)):
            question = SPEED_QUESTION if label is None else signal_question(label)
            options = words[label is None]
            self._llama.n_tokens = len(prefix)
            self._llama.eval(self.tokenize(question))
            logits = self._last_logits()[options]
            weights = np.exp(logits - logits.max())
            rows[number, : len(options)] = weights / weights.sum()
        return rows

    def _last_logits(self) -> NDArray[np.float64]:
        size = self._llama.n_vocab()
        pointer = self._c.llama_get_logits_ith(self._llama.ctx, -1)
        values = ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(values, shape=(size,)).astype(np.float64)


def compare(
    reader: LlamaReader, cards: Sequence[Card], torch_rows: Sequence[NDArray[np.float64]]
) -> Parity:
    """``torch_rows``: for each card the probabilities (questions, words) in packing order."""
    agree: list[bool] = []
    apart: list[float] = []
    right: list[bool] = []
    right_torch: list[bool] = []
    for card, expected in zip(cards, torch_rows, strict=True):
        rows = np.concatenate([reader.read(card.labels, fault.text) for fault in card.faults])
        targets = [
            words.index(best(target))
            for fault in card.faults
            for target, words in (
                *((t, SIGNAL_WORDS) for t in fault.signals),
                (fault.speed, SPEED_WORDS),
            )
        ]
        agree += list(rows.argmax(1) == expected.argmax(1))
        apart += list(np.abs(rows - expected).max(1))
        right += list(rows.argmax(1) == np.array(targets))
        right_torch += list(expected.argmax(1) == np.array(targets))
    return Parity(
        len(agree),
        float(np.mean(agree)),
        float(np.max(apart)),
        float(np.mean(apart)),
        float(np.mean(right)),
        float(np.mean(right_torch)),
    )
