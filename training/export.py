"""The adapter as a GGUF file for llama.cpp, and its manifest.

llama.cpp wants ``general.type = adapter``, ``adapter.type = lora``, the alpha, and per weight
``NAME.lora_a`` (inside, rank) and ``NAME.lora_b`` (rank, out), fastest dimension first. Since the
network keeps the base model's own order of rows, nothing is permuted. Pure but for the files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.diagnose.fault_reading import AnswerKind
from edge_agent.inference.catalog import sha256_of
from edge_agent.inference.gguf_writer import Blob, Value, write_gguf

F16 = 1
LICENCE = "Apache-2.0"
PROMPT_VERSION = "1"
"""Of ``edge_agent.diagnose.fault_reading``: what it was trained with."""

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]
"""A (rank, inside) and B (out, rank) of one weight."""


@dataclass(frozen=True, slots=True)
class Described:
    """What the manifest says of an adapter."""

    name: str
    base: str
    base_sha256: str
    rank: int
    alpha: float
    trained: str
    """Short account of the run: tokens, minutes, seed."""
    task: str = "fault-reading"


def write_adapter(path: Path, pairs: Mapping[str, Pair], about: Described) -> None:
    """Write the adapter in 16 bits."""
    metadata: dict[str, Value] = {
        "general.architecture": "llama",
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": float(about.alpha),
        "general.name": about.name,
        "general.license": LICENCE,
        "general.base_model.count": 1,
        "general.base_model.0.name": about.base,
    }
    blobs: list[Blob] = []
    for name, (a, b) in pairs.items():
        blobs += [_blob(f"{name}.lora_a", a), _blob(f"{name}.lora_b", b)]
    write_gguf(path, metadata, blobs)


def _blob(name: str, array: NDArray[np.float32]) -> Blob:
    data = array.astype("<f2").tobytes()
    return Blob(name, tuple(array.shape[::-1]), F16, lambda: (data,))


def manifest(
    path: Path,
    about: Described,
    words: Sequence[str],
    figures: Mapping[str, float],
    temperatures: Mapping[AnswerKind, float] | None = None,
) -> str:
    """The TOML beside the adapter: what it is, what it belongs to, and both hashes."""
    lines = {
        "name": about.name,
        "file": path.name,
        "size": path.stat().st_size,
        "sha256": sha256_of(path),
        "task": about.task,
        "prompt_version": PROMPT_VERSION,
        "base": about.base,
        "base_sha256": about.base_sha256,
        "rank": about.rank,
        "alpha": about.alpha,
        "licence": LICENCE,
        "trained": about.trained,
        "words": list(words),
    }
    head = (
        "# Made by `python -m training export`. The catalogue loads the adapter only with the\n"
        "# base model of that hash, and only if the file has its own.\n"
    )
    text = head + _entries({key: json.dumps(value) for key, value in lines.items()})
    for title, table in (("temperatures", temperatures), ("figures", figures)):
        if table:
            text += f"\n[{title}]\n{_entries(table)}"
    return text


def _entries(table: Mapping[Any, object]) -> str:
    return "".join(f"{key} = {value}\n" for key, value in table.items())
