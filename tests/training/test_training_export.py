"""The adapter as a file: written by ``training``, read by the gateway's own reader; and the shipped
one, which must be what its manifest says."""

from __future__ import annotations

import struct
import tomllib
from pathlib import Path

import numpy as np
import pytest

import edge_agent
from edge_agent.diagnose.fault_reading import AnswerKind
from edge_agent.errors import BadConfig
from edge_agent.inference.adapter import AdapterManifest
from edge_agent.inference.catalog import sha256_of
from edge_agent.inference.gguf import read_adapter_header
from training.export import Described, manifest, write_adapter
from training.weights import dequantize

SHIPPED = Path(edge_agent.__file__).parent / "inference" / "adapters"
LAYERS = range(8, 30)
OUTSIDE = {
    "attn_q": (576, 576),
    "attn_k": (576, 192),
    "attn_v": (576, 192),
    "attn_output": (576, 576),
    "ffn_gate": (576, 1536),
    "ffn_up": (576, 1536),
    "ffn_down": (1536, 576),
}
"""Weight → (inside, outside) in the embedded model."""
LARGEST = 16_000_000


def _about() -> Described:
    return Described("fault-reader", "smollm2-135m", "0" * 64, 2, 4.0, "a test")


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    a, b = np.ones((2, 8), dtype=np.float32), np.full((6, 2), 0.5, dtype=np.float32)
    path = tmp_path / "x.gguf"
    write_adapter(path, {"blk.0.attn_q.weight": (a, b)}, _about())
    header = read_adapter_header(path)
    shapes = {tensor.name: tensor.shape for tensor in header.tensors}
    assert shapes == {"blk.0.attn_q.weight.lora_a": (8, 2), "blk.0.attn_q.weight.lora_b": (2, 6)}
    assert header.metadata["adapter.type"] == "lora"
    assert header.metadata["adapter.lora.alpha"] == 4.0
    tensor = header.tensors[1]
    data = path.read_bytes()[header.data_start + tensor.offset :][: tensor.size]
    assert np.array_equal(np.frombuffer(data, "<f2").reshape(6, 2), b)


def test_the_manifest_names_base_file_and_hashes(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"abc")
    sure: dict[AnswerKind, float] = {"said": 1.5}
    table = tomllib.loads(manifest(path, _about(), ("up",), {"cell_accuracy": 0.9}, sure))
    AdapterManifest.model_validate(table)
    assert table["temperatures"] == sure
    assert table["sha256"] == sha256_of(path)
    assert table["base_sha256"] == "0" * 64
    assert table["size"] == 3
    assert table["figures"] == {"cell_accuracy": 0.9}


def test_the_shipped_adapter_is_what_its_manifest_says() -> None:
    table = tomllib.loads((SHIPPED / "fault-reader.toml").read_text(encoding="utf-8"))
    path = SHIPPED / table["file"]
    assert path.stat().st_size == table["size"] <= LARGEST
    assert sha256_of(path) == table["sha256"]
    assert table["licence"] == "Apache-2.0"
    assert set(table["temperatures"]) == {"said", "none", "speed"}
    assert (SHIPPED / "fault-reader.md").exists()


def test_the_shipped_adapter_has_a_pair_for_each_weight_of_its_layers() -> None:
    path = SHIPPED / "fault-reader.gguf"
    shapes = {tensor.name: tensor.shape for tensor in read_adapter_header(path).tensors}
    rank = next(iter(shapes.values()))[1]
    wanted = {}
    for layer in LAYERS:
        for name, (inside, outside) in OUTSIDE.items():
            wanted[f"blk.{layer}.{name}.weight.lora_a"] = (inside, rank)
            wanted[f"blk.{layer}.{name}.weight.lora_b"] = (rank, outside)
    assert shapes == wanted


def test_quantized_blocks_become_numbers() -> None:
    half = struct.Struct("<e")
    q8 = half.pack(0.5) + bytes(range(32))
    assert dequantize(8, q8).tolist() == [0.5 * i for i in range(32)]
    packed = bytes((i | ((15 - i) << 4)) for i in range(16))
    q41 = half.pack(2.0) + half.pack(-1.0) + packed
    assert dequantize(3, q41).tolist() == [
        *(2.0 * i - 1 for i in range(16)),
        *(2.0 * (15 - i) - 1 for i in range(16)),
    ]
    q40 = half.pack(1.0) + packed
    assert dequantize(2, q40)[:2].tolist() == [-8.0, -7.0]
    assert dequantize(0, np.array([1.5], dtype=np.float32).tobytes()).tolist() == [1.5]
    with pytest.raises(BadConfig, match="can't be trained on"):
        dequantize(14, b"")
