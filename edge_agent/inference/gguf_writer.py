"""Writes GGUF files: for models of a given shape with random weights, and for tests."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge_agent.inference.gguf import BLOCKS, MAGIC

ALIGNMENT = 32
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9

Value = str | bool | int | float | Sequence[str] | Sequence[int] | Sequence[float]


@dataclass(frozen=True, slots=True)
class Blob:
    """A tensor to write: ``data()`` yields its bytes in pieces, so that none is held whole."""

    name: str
    shape: tuple[int, ...]
    """Fastest dimension first, as GGUF has it."""
    kind: int
    data: Callable[[], Iterable[bytes]]

    @property
    def size(self) -> int:
        """Bytes of the data."""
        _, block, block_bytes = BLOCKS[self.kind]
        elements = 1
        for extent in self.shape:
            elements *= extent
        return elements // block * block_bytes


def write_gguf(path: Path, metadata: Mapping[str, Value], blobs: Sequence[Blob]) -> None:
    """Write a version 3 file. Whole numbers become 32-bit: unsigned, in arrays signed."""
    head = header_bytes(metadata, blobs)
    with path.open("wb") as file:
        file.write(head)
        for blob in blobs:
            _pad(file)
            for piece in blob.data():
                file.write(piece)
        _pad(file)


def header_bytes(metadata: Mapping[str, Value], blobs: Sequence[Blob]) -> bytes:
    """Everything before the tensor data, padding excluded."""
    parts = [MAGIC, struct.pack("<IQQ", 3, len(blobs), len(metadata))]
    parts += [_text(key) + _value(value) for key, value in metadata.items()]
    offset = 0
    for blob in blobs:
        shape = struct.pack(f"<I{len(blob.shape)}Q", len(blob.shape), *blob.shape)
        parts.append(_text(blob.name) + shape + struct.pack("<IQ", blob.kind, offset))
        offset += -(-blob.size // ALIGNMENT) * ALIGNMENT
    return b"".join(parts)


def _pad(file: BinaryIO) -> None:
    file.write(b"\0" * (-file.tell() % ALIGNMENT))


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Value) -> bytes:
    kind, body = _scalar(value)
    if kind != ARRAY:
        return struct.pack("<I", kind) + body
    assert not isinstance(value, (str, bool, int, float))  # noqa: S101 -- narrows for the checker
    items = [_scalar(item) for item in value]
    inner = items[0][0] if items else UINT32
    if inner == UINT32:
        inner = INT32  # llama.cpp wants its arrays signed (token types, heads by layer)
    return struct.pack("<IIQ", ARRAY, inner, len(items)) + b"".join(item[1] for item in items)


def _scalar(value: Value) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return BOOL, struct.pack("<?", value)
    if isinstance(value, int):
        return UINT32, struct.pack("<I", value)
    if isinstance(value, float):
        return FLOAT32, struct.pack("<f", value)
    if isinstance(value, str):
        return STRING, _text(value)
    return ARRAY, b""
