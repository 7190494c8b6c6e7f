"""A GGUF header, read within bounds before llama.cpp sees the file.

Layout after the GGUF specification (ggml, ``docs/gguf.md``), versions 2 and 3, little endian.
Whatever the bytes are, ``read_header`` returns or raises ``BadModel``; memory and time stay small.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge_agent.errors import BadConfig

MAGIC = b"GGUF"
MAX_KEYS = 2_000
MAX_TENSORS = 20_000
MAX_KEY_BYTES = 512
MAX_STRING_BYTES = 1 << 20
MAX_ARRAY = 2_000_000
MAX_HEADER_BYTES = 128 << 20
MAX_DIMENSIONS = 4
KEPT_ARRAY = 1_024
"""Longer arrays (the vocabulary) are walked over; only their length is kept."""

STRING, ARRAY = 8, 9
SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}

BLOCKS: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}
"""Tensor type → name, weights per block, bytes per block (ggml's block structs)."""

ARCHITECTURES = frozenset(
    {
        "arcee",
        "cohere2",
        "command-r",
        "ernie4_5",
        "exaone",
        "gemma",
        "gemma2",
        "gemma3",
        "granite",
        "internlm2",
        "llama",
        "minicpm",
        "mistral3",
        "olmo",
        "olmo2",
        "phi3",
        "qwen2",
        "qwen3",
        "seed_oss",
        "smollm3",
        "stablelm",
        "starcoder2",
    }
)
"""Decoder-only text models with an ordinary KV cache, which the plan can foresee."""


class BadModel(BadConfig):
    """The file is no model that may be loaded; the message says why."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the file: its type by number, its shape, where its data lie."""

    name: str
    kind: int
    shape: tuple[int, ...]
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says. ``metadata`` holds scalars, strings and short arrays."""

    version: int
    metadata: dict[str, object]
    lengths: dict[str, int]
    """Array key → number of elements, for all arrays."""
    tensors: tuple[Tensor, ...]
    data_start: int
    file_size: int

    @property
    def architecture(self) -> str:
        """Model family, such as ``llama`` or ``arcee``."""
        return str(self.metadata["general.architecture"])

    @property
    def weight_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.size for tensor in self.tensors)

    def number(self, key: str, default: int | None = None) -> int:
        """``{architecture}.{key}`` as an integer; the largest where it differs by layer."""
        value = self.metadata.get(f"{self.architecture}.{key}", default)
        if isinstance(value, list) and value and all(type(item) is int for item in value):
            value = max(value)
        if type(value) is not int or value < 0:
            raise BadModel(f"the header lacks {self.architecture}.{key} as a whole number")
        return value


class _Reader:
    """Reads little-endian values and never past the cap on header bytes."""

    def __init__(self, file: BinaryIO, kept_array: int) -> None:
        self._file = file
        self._kept_array = kept_array
        self.position = 0

    def take(self, size: int) -> bytes:
        if self.position + size > MAX_HEADER_BYTES:
            raise BadModel(f"its header is larger than {MAX_HEADER_BYTES >> 20} MB")
        data = self._file.read(size)
        if len(data) != size:
            raise BadModel(f"it ends inside its header, at byte {self.position + len(data)}")
        self.position += size
        return data

    def number(self, code: str) -> int:
        value: int = struct.unpack("<" + code, self.take(struct.calcsize(code)))[0]
        return value

    def text(self, cap: int) -> str:
        length = self.number("Q")
        if length > cap:
            raise BadModel(f"a string of {length} bytes stands in its header (at most {cap})")
        return self.take(length).decode("utf-8", errors="replace")

    def value(self, kind: int) -> object:
        if kind == STRING:
            return self.text(MAX_STRING_BYTES)
        if kind not in SCALARS:
            raise BadModel(f"its header holds a value of unknown type {kind}")
        code = SCALARS[kind]
        return struct.unpack("<" + code, self.take(struct.calcsize(code)))[0]

    def array(self) -> tuple[int, list[object] | None]:
        """Length and, if short, the elements. Arrays of arrays are refused: no model has them."""
        kind, length = self.number("I"), self.number("Q")
        if length > MAX_ARRAY:
            raise BadModel(f"an array of {length} elements stands in its header")
        if kind == ARRAY:
            raise BadModel("its header holds an array of arrays")
        if kind == STRING or length <= self._kept_array:
            items = [self.value(kind) for _ in range(length)]
            return length, items if length <= self._kept_array else None
        if kind not in SCALARS:
            raise BadModel(f"its header holds an array of unknown type {kind}")
        self.take(length * struct.calcsize(SCALARS[kind]))
        return length, None


def read_header(path: Path, *, kept_array: int = KEPT_ARRAY) -> Header:
    """The header of the file at ``path``. Raises ``BadModel`` with a plain reason."""
    try:
        with path.open("rb") as file:
            return parse_header(file, path.stat().st_size, str(path), kept_array=kept_array)
    except OSError as error:
        raise BadModel(f"{path}: cannot be read: {error.strerror}; check path and rights") from None


def read_adapter_header(path: Path) -> Header:
    """The header of a LoRA adapter. Raises ``BadModel`` with a plain reason."""
    try:
        with path.open("rb") as file:
            header = _parse(_Reader(file, KEPT_ARRAY), path.stat().st_size)
        _check_tensors(header)
        _check_adapter(header)
    except OSError as error:
        raise BadModel(f"{path}: cannot be read: {error.strerror}; check path and rights") from None
    except BadModel as error:
        raise BadModel(f"{path} is not an adapter that can be loaded: {error}") from None
    return header


def parse_header(
    file: BinaryIO, file_size: int, name: str, *, kept_array: int = KEPT_ARRAY
) -> Header:
    """As ``read_header``, from an open file; ``name`` is for the message."""
    try:
        header = _parse(_Reader(file, kept_array), file_size)
        _check_tensors(header)
        _check_shape(header)
    except BadModel as error:
        raise BadModel(f"{name} is not a model that can be loaded: {error}") from None
    return header


def _parse(reader: _Reader, file_size: int) -> Header:
    if file_size < 24 or reader.take(4) != MAGIC:
        raise BadModel("it is no GGUF file (the magic number is missing)")
    version = reader.number("I")
    if version not in (2, 3):
        raise BadModel(f"GGUF version {version} is unknown; 2 and 3 can be read")
    tensor_count, key_count = reader.number("Q"), reader.number("Q")
    if tensor_count > MAX_TENSORS or key_count > MAX_KEYS:
        raise BadModel(f"it claims {tensor_count} tensors and {key_count} keys, which is absurd")
    metadata, lengths = _metadata(reader, key_count)
    tensors = tuple(_tensor(reader) for _ in range(tensor_count))
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment not in (8, 16, 32, 64, 128, 256, 512, 1024, 4096):
        raise BadModel(f"general.alignment is {alignment!r}; a power of two is wanted")
    start = -(-reader.position // alignment) * alignment
    return Header(version, metadata, lengths, tensors, start, file_size)


def _metadata(reader: _Reader, count: int) -> tuple[dict[str, object], dict[str, int]]:
    metadata: dict[str, object] = {}
    lengths: dict[str, int] = {}
    for _ in range(count):
        key = reader.text(MAX_KEY_BYTES)
        if key in metadata or key in lengths:
            raise BadModel(f"the key {key!r} stands twice in its header")
        kind = reader.number("I")
        if kind != ARRAY:
            metadata[key] = reader.value(kind)
            continue
        lengths[key], items = reader.array()
        if items is not None:
            metadata[key] = items
    return metadata, lengths


def _tensor(reader: _Reader) -> Tensor:
    name = reader.text(MAX_KEY_BYTES)
    dimensions = reader.number("I")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise BadModel(f"the tensor {name!r} has {dimensions} dimensions")
    shape = tuple(reader.number("Q") for _ in range(dimensions))
    kind, offset = reader.number("I"), reader.number("Q")
    if kind not in BLOCKS:
        raise BadModel(f"the tensor {name!r} has the unknown type {kind}")
    type_name, block, block_bytes = BLOCKS[kind]
    elements = 1
    for extent in shape:
        elements *= extent
    if not 0 < elements < 1 << 48 or shape[0] % block:
        raise BadModel(f"the tensor {name!r} of shape {list(shape)} can't be {type_name}")
    return Tensor(name, kind, shape, offset, elements // block * block_bytes)


def _check_tensors(header: Header) -> None:
    if not header.tensors:
        raise BadModel("it holds no tensors")
    if len({tensor.name for tensor in header.tensors}) != len(header.tensors):
        raise BadModel("two of its tensors share a name")
    room = header.file_size - header.data_start
    for tensor in header.tensors:
        if tensor.offset % 8 or tensor.offset + tensor.size > room:
            missing = tensor.offset + tensor.size - room
            raise BadModel(
                f"it is truncated or damaged: the data of {tensor.name!r} reach {missing} bytes "
                "past the end of the file; fetch it again"
            )


def _check_shape(header: Header) -> None:
    """The numbers that the plan and llama.cpp rely on, within what any real model has."""
    if header.metadata.get("general.type") == "adapter":
        raise BadModel("it is an adapter, which needs its base model; name that one instead")
    architecture = header.metadata.get("general.architecture")
    if architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise BadModel(f"its architecture {architecture!r:.60} is unknown; known are {known}")
    split = header.metadata.get("split.count", 0)
    if type(split) is int and split > 1:
        raise BadModel("it is one part of a split model; join the parts first")
    limits = {
        "block_count": 512,
        "embedding_length": 65_536,
        "context_length": 1 << 24,
        "attention.head_count": 1_024,
    }
    for key, limit in limits.items():
        value = header.number(key)
        if not 1 <= value <= limit:
            raise BadModel(f"{architecture}.{key} is {value}; 1 to {limit} is possible")
    if header.lengths.get("tokenizer.ggml.tokens", 0) < 2:
        raise BadModel("it carries no vocabulary (tokenizer.ggml.tokens)")


def _check_adapter(header: Header) -> None:
    kinds = (header.metadata.get("general.type"), header.metadata.get("adapter.type"))
    if kinds != ("adapter", "lora"):
        raise BadModel(f"its types are {kinds!r:.80}, not ('adapter', 'lora')")
    names = {tensor.name for tensor in header.tensors}
    for name in names:
        weight, _, part = name.rpartition(".")
        twin = f"{weight}.lora_{'b' if part == 'lora_a' else 'a'}"
        if part not in ("lora_a", "lora_b") or twin not in names:
            raise BadModel(f"its tensor {name!r:.80} is no half of a pair NAME.lora_a, NAME.lora_b")
