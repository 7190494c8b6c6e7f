"""What a model will take in memory, from its header alone, and the context that fits."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.errors import BadConfig
from edge_agent.inference.gguf import Header

MB = 1_000_000
KV_BYTES = {"f16": 2.0, "q8_0": 34 / 32}
"""Bytes of one element of the KV cache, by type."""
SMALLEST_CONTEXT = 512
CELLS = 256
"""llama.cpp rounds the KV cache up to this many tokens."""
PROCESS_MB = 62.0
"""The worker without a model: interpreter, numpy, llama.cpp, llguidance (measured)."""
VOCABULARY_BYTES = 520
"""Per token of the vocabulary: llama.cpp's tables and llguidance's trie (measured)."""


class DoesNotFit(BadConfig):
    """No context, however short, keeps the model within the memory limit."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Memory of a loaded model by part, bytes."""

    context: int
    kv_type: str
    weights: int
    kv: int
    compute: int
    process: int

    @property
    def total(self) -> int:
        """Resident bytes of the worker."""
        return self.weights + self.kv + self.compute + self.process

    @property
    def total_mb(self) -> float:
        """``total`` in megabytes (10^6 bytes)."""
        return round(self.total / MB, 1)


def kv_bytes_per_token(header: Header, kv_type: str) -> float:
    """2 · layers · KV heads · head width · bytes; key and value widths may differ."""
    heads = header.number("attention.head_count")
    kv_heads = header.number("attention.head_count_kv", heads)
    width = header.number("embedding_length") // heads
    key = header.number("attention.key_length", width)
    value = header.number("attention.value_length", width)
    return header.number("block_count") * kv_heads * (key + value) * KV_BYTES[kv_type]


def plan_for(header: Header, context: int, kv_type: str, *, batch: int = 512) -> Plan:
    """The memory of this model with this context."""
    cells = -(-context // CELLS) * CELLS
    vocabulary = header.lengths["tokenizer.ggml.tokens"]
    return Plan(
        context=cells,
        kv_type=kv_type,
        weights=header.weight_bytes,
        kv=int(cells * kv_bytes_per_token(header, kv_type)),
        compute=_compute_bytes(header, cells, vocabulary, batch),
        process=int(PROCESS_MB * MB) + VOCABULARY_BYTES * vocabulary,
    )


def _compute_bytes(header: Header, cells: int, vocabulary: int, batch: int) -> int:
    """Activations of one batch, the mask, and the logits of ``OUTPUTS`` rows.

    llama.cpp allocates about: feed-forward twice plus five rows of the embedding per token of the
    batch, in 32 bit; a mask of batch x cells; and two buffers of logits.
    """
    embedding = header.number("embedding_length")
    wide = header.number("feed_forward_length", 4 * embedding)
    activations = batch * (2 * wide + 5 * embedding) * 4
    return activations + batch * cells * 4 + 2 * OUTPUTS * vocabulary * 4


OUTPUTS = 32
"""Rows of logits that one batch may ask for."""


def fit(header: Header, context: int, kv_type: str, limit_mb: float) -> Plan:
    """The plan with the longest context up to ``context`` (and the model's own) within
    ``limit_mb``. Raises ``DoesNotFit`` if even the shortest is too large."""
    wanted = min(context, header.number("context_length"))
    plan = plan_for(header, wanted, kv_type)
    while plan.total_mb > limit_mb and plan.context > SMALLEST_CONTEXT:
        plan = plan_for(header, plan.context - CELLS, kv_type)
    if plan.total_mb > limit_mb:
        raise DoesNotFit(
            f"the model needs {plan.total_mb:.0f} MB even with {plan.context} tokens of context, "
            f"and {limit_mb:.0f} MB are left for it; choose a smaller model or raise "
            "govern.memory_mb"
        )
    return plan
