"""The base model in torch with low-rank adapters on its upper layers.

A plain Llama (RMS norm, rotary positions, grouped-query attention, SwiGLU) over one sequence whose
tokens carry their own positions and see what a mask lets them see: that is how many questions can
share one prefix. Only the adapters have gradients; layers below the first adapted one run without.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 -- as torch's own documentation names it
from torch import Tensor, nn

from training.weights import read_weights

TARGETS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


@dataclass(frozen=True, slots=True)
class AdapterShape:
    """``first`` adapted layer, ``rank`` and ``alpha``: the update is alpha/rank · B A."""

    first: int = 8
    rank: int = 16
    alpha: float = 32.0

    @property
    def scale(self) -> float:
        """Factor of B A."""
        return self.alpha / self.rank


class _Frozen(torch.autograd.Function):
    """x Wᵀ for a weight that has no gradient, computed in the weight's own precision."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:  # noqa: ANN401
        ctx.weight = weight
        return (x.to(weight.dtype) @ weight.T).float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return (grads[0].to(ctx.weight.dtype) @ ctx.weight).float(), None


class Linear(nn.Module):
    """A frozen weight of shape (out, in), with an adapter B A beside it if ``shape`` is given."""

    def __init__(self, weight: Tensor, shape: AdapterShape | None) -> None:
        super().__init__()
        self.weight = weight
        self.scale = shape.scale if shape else 0.0
        self.a: nn.Parameter | None = None
        self.b: nn.Parameter | None = None
        if shape:
            out, inside = weight.shape
            bound = 1.0 / math.sqrt(inside)
            self.a = nn.Parameter(torch.empty(shape.rank, inside).uniform_(-bound, bound))
            self.b = nn.Parameter(torch.zeros(out, shape.rank))

    def forward(self, x: Tensor) -> Tensor:
        """X Wᵀ + scale · x Aᵀ Bᵀ; x: (L, in)."""
        y: Tensor = _Frozen.apply(x, self.weight)
        if self.a is None or self.b is None:
            return y
        dtype = self.weight.dtype
        low = x.to(dtype) @ self.a.to(dtype).T
        return torch.add(y, (low @ self.b.to(dtype).T), alpha=self.scale)


class Layer(nn.Module):
    """One transformer block."""

    def __init__(
        self, weights: dict[str, Tensor], shape: AdapterShape | None, sizes: Sizes
    ) -> None:
        super().__init__()
        self.sizes = sizes
        self.attn_norm, self.ffn_norm = weights["attn_norm"].float(), weights["ffn_norm"].float()
        self.linear = nn.ModuleDict({name: Linear(weights[name], shape) for name in TARGETS})

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        """States (L, embedding) after the block; ``mask`` (L, L) is added to the scores."""
        s, y = self.sizes, F.rms_norm(x, x.shape[-1:], self.attn_norm, self.sizes.epsilon)
        q = _rotated(self.linear["attn_q"](y).view(-1, s.heads, s.width), turn)
        k = _rotated(self.linear["attn_k"](y).view(-1, s.shared, s.width), turn)
        v = self.linear["attn_v"](y).view(-1, s.shared, s.width)
        group = s.heads // s.shared
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        seen = F.scaled_dot_product_attention(
            q.transpose(0, 1)[None], k.transpose(0, 1)[None], v.transpose(0, 1)[None], mask
        )
        x = x + self.linear["attn_output"](seen[0].transpose(0, 1).reshape(x.shape[0], -1))
        y = F.rms_norm(x, x.shape[-1:], self.ffn_norm, s.epsilon)
        inner = F.silu(self.linear["ffn_gate"](y)) * self.linear["ffn_up"](y)
        down: Tensor = self.linear["ffn_down"](inner)
        return x + down


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of the architecture, from the header."""

    layers: int
    heads: int
    shared: int
    """Heads of keys and values."""
    width: int
    """Of one head."""
    epsilon: float
    base: float
    """Of the rotary frequencies."""


def _rotated(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions over neighbouring pairs, as llama.cpp stores them. x: (L, heads, width)."""
    cos, sin = turn
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Network(nn.Module):
    """The whole model: tokens in, the last layer's normed states out."""

    def __init__(self, path: Path, shape: AdapterShape, dtype: torch.dtype) -> None:
        super().__init__()
        header, tensors = read_weights(path)
        heads = header.number("attention.head_count")
        self.shape = shape
        self.sizes = Sizes(
            header.number("block_count"),
            heads,
            header.number("attention.head_count_kv", heads),
            header.number("embedding_length") // heads,
            float(str(header.metadata["llama.attention.layer_norm_rms_epsilon"])),
            float(str(header.metadata["llama.rope.freq_base"])),
        )
        found: dict[str, Tensor] = {}
        for name, array in tensors:
            tensor = torch.from_numpy(array)
            found[name.removesuffix(".weight")] = tensor if tensor.ndim == 1 else tensor.to(dtype)
        self.embedding = found["token_embd"]
        self.head = found.get("output", self.embedding)
        self.norm = found["output_norm"].float()
        self.layers = nn.ModuleList(
            Layer(
                {n: found[f"blk.{i}.{n}"] for n in (*TARGETS, "attn_norm", "ffn_norm")},
                shape if i >= shape.first else None,
                self.sizes,
            )
            for i in range(self.sizes.layers)
        )

    def forward(self, tokens: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """States (L, embedding) of one sequence. ``tokens`` and ``positions`` (L,); ``mask``
        (L, L), true where the row's token sees the column's."""
        half = torch.arange(0, self.sizes.width, 2, dtype=torch.float32)
        angle = positions[:, None].float() * self.sizes.base ** (-half / self.sizes.width)
        turn = (angle.cos()[:, None, :], angle.sin()[:, None, :])
        bias = torch.zeros(mask.shape).masked_fill(~mask, -torch.inf)
        with torch.no_grad():
            x = self.embedding[tokens].float()
            for layer in self.layers[: self.shape.first]:
                x = layer(x, turn, bias)
        for layer in self.layers[self.shape.first :]:
            x = layer(x, turn, bias)
        return F.rms_norm(x, x.shape[-1:], self.norm, self.sizes.epsilon)

    def scores(self, states: Tensor, options: Tensor) -> Tensor:
        """Logits (rows, options) of the tokens ``options`` only."""
        return states @ self.head[options].float().T

    def all_scores(self, states: Tensor) -> Tensor:
        """Logits (rows, vocabulary)."""
        scores: Tensor = _Frozen.apply(states, self.head)
        return scores

    def adapters(self) -> Iterator[tuple[str, Linear]]:
        """Every adapted weight by its name in the file (``blk.8.attn_q.weight``)."""
        for index, layer in enumerate(self.layers):
            if index < self.shape.first:
                continue
            for name in TARGETS:
                linear = layer.linear[name]
                assert isinstance(linear, Linear)  # noqa: S101 -- narrows for the checker
                yield f"blk.{index}.{name}.weight", linear

    def trained(self) -> list[nn.Parameter]:
        """All that learns."""
        return [p for p in self.parameters() if p.requires_grad]
