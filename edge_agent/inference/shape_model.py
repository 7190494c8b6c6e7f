"""Models of a given architecture and size with RANDOM weights: for load, memory, speed and tests.

They answer nonsense (valid under a schema, since the grammar sees to that). The shape of AFM-4.5B
is the published one; those called 1.2B and 2.8B are ours, cut to these sizes in the same style.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_agent.inference.gguf import BLOCKS, MAX_ARRAY, read_header
from edge_agent.inference.gguf_writer import Blob, Value, write_gguf

CHATML = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{'<|im_start|>assistant\n'}}{% endif %}"
)
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
SPREAD = 0.02
"""Standard deviation of the random weights."""
CHUNK_BLOCKS = 1 << 15


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides a model's size and speed."""

    architecture: str
    layers: int
    width: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    context: int = 4096
    tied: bool = False
    """The output uses the embedding's weights."""


TINY = Shape("llama", 2, 128, 256, 4, 2, 32, 0, context=1024)
SHAPES: dict[str, Shape] = {
    "arcee-4.5b": Shape("arcee", 36, 2560, 18_432, 20, 4, 128, 128_005),
    "arcee-2.8b": Shape("arcee", 28, 2304, 14_336, 18, 3, 128, 128_005),
    "arcee-1.2b": Shape("arcee", 20, 1536, 9_216, 12, 2, 128, 128_005),
    "arcee-tiny": replace(TINY, architecture="arcee"),
    "qwen3-tiny": replace(TINY, architecture="qwen3", tied=True),
    "smollm3-tiny": replace(TINY, architecture="smollm3", layers=4, tied=True),
    "llama-tiny": TINY,
}


def make_shape_model(
    path: Path, shape: Shape, kind: str, *, tokenizer: Path | None, seed: int = 1
) -> None:
    """Write a model of ``shape`` with weights of type ``kind`` (as in ``BLOCKS``) to ``path``.

    ``tokenizer`` is a GGUF whose vocabulary is taken and padded to the shape's size; None makes a
    small one of bytes and a few words.
    """
    words = tokenizer_of(tokenizer) if tokenizer is not None else small_tokenizer()
    tokens = words["tokenizer.ggml.tokens"]
    kinds = words["tokenizer.ggml.token_type"]
    assert isinstance(tokens, list)  # noqa: S101 -- narrows
    assert isinstance(kinds, list)  # noqa: S101 -- narrows
    missing = max(0, shape.vocabulary - len(tokens))
    tokens += [f"<|unused_{i}|>" for i in range(missing)]
    kinds += [3] * missing
    shape = replace(shape, vocabulary=len(tokens))
    rng = np.random.default_rng(seed)
    write_gguf(path, metadata_of(shape) | words, list(_blobs(shape, _number(kind), rng)))


def _number(kind: str) -> int:
    by_name = {name: number for number, (name, _, _) in BLOCKS.items()}
    if by_name.get(kind) not in FILLERS:
        allowed = ", ".join(BLOCKS[number][0] for number in FILLERS)
        raise ValueError(f"no random weights of type {kind!r}; there are {allowed}")
    return by_name[kind]


def metadata_of(shape: Shape) -> dict[str, Value]:
    """The keys that llama.cpp wants of this architecture."""
    keys: dict[str, Value] = {
        "block_count": shape.layers,
        "context_length": shape.context,
        "embedding_length": shape.width,
        "feed_forward_length": shape.feed_forward,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "attention.key_length": shape.head_width,
        "attention.value_length": shape.head_width,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 10_000.0,
        "rope.dimension_count": shape.head_width,
        "vocab_size": shape.vocabulary,
    }
    general: dict[str, Value] = {
        "general.architecture": shape.architecture,
        "general.name": f"random weights in the shape of {shape.architecture}",
        "general.license": "cc0-1.0",
        "general.alignment": 32,
    }
    return general | {f"{shape.architecture}.{key}": value for key, value in keys.items()}


def tokenizer_of(path: Path) -> dict[str, Value]:
    """The vocabulary of another GGUF file."""
    header = read_header(path, kept_array=MAX_ARRAY)
    wanted = ("tokenizer.ggml.", "tokenizer.chat_template")
    return {
        key: value  # type: ignore[misc]  # scalars and lists of scalars, by the parser
        for key, value in header.metadata.items()
        if key.startswith(wanted)
    }


def small_tokenizer() -> dict[str, Value]:
    """A byte-level BPE vocabulary of a few hundred tokens."""
    letters = _byte_letters()
    merges: list[str] = []
    known = set(letters)
    sample = [
        "Ġthe",
        "Ġpump",
        "Ġflow",
        "Ġvibration",
        "Ġpressure",
        "Ġbearing",
        "Ġwear",
        "Ġleak",
        "fault",
        "explanation",
    ]
    for word in sample:
        left = word[0]
        for letter in word[1:]:
            if left + letter not in known:
                known.add(left + letter)
                merges.append(f"{left} {letter}")
            left += letter
    joined = [merge.replace(" ", "") for merge in merges]
    tokens = [*CONTROL, *letters, *joined]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3] * len(CONTROL) + [1] * (len(tokens) - len(CONTROL)),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHATML,
    }


def _byte_letters() -> list[str]:
    """GPT-2's letter for each byte: printable Latin-1 as it is, the others from U+0100."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 512))
    return [chr(byte if byte in printable else next(extra)) for byte in range(256)]


def _blobs(shape: Shape, kind: int, rng: np.random.Generator) -> Iterator[Blob]:
    width, wide = shape.width, shape.feed_forward
    query, key = shape.heads * shape.head_width, shape.kv_heads * shape.head_width

    def weights(name: str, rows: int, columns: int) -> Blob:
        blob = Blob(f"{name}.weight", (columns, rows), kind, lambda: ())
        return replace(blob, data=lambda: _random(blob.size, kind, rng))

    def norm(name: str, size: int) -> Blob:
        return Blob(f"{name}.weight", (size,), 0, lambda: (np.ones(size, "<f4").tobytes(),))

    yield weights("token_embd", shape.vocabulary, width)
    yield norm("output_norm", width)
    if not shape.tied:
        yield weights("output", shape.vocabulary, width)
    for layer in range(shape.layers):
        at = f"blk.{layer}"
        yield norm(f"{at}.attn_norm", width)
        yield weights(f"{at}.attn_q", query, width)
        yield weights(f"{at}.attn_k", key, width)
        yield weights(f"{at}.attn_v", key, width)
        yield weights(f"{at}.attn_output", width, query)
        if shape.architecture == "qwen3":
            yield norm(f"{at}.attn_q_norm", shape.head_width)
            yield norm(f"{at}.attn_k_norm", shape.head_width)
        yield norm(f"{at}.ffn_norm", width)
        if shape.architecture != "arcee":  # ReLU² has no gate
            yield weights(f"{at}.ffn_gate", wide, width)
        yield weights(f"{at}.ffn_up", wide, width)
        yield weights(f"{at}.ffn_down", width, wide)


def _random(size: int, kind: int, rng: np.random.Generator) -> Iterable[bytes]:
    """``size`` bytes of random blocks, in chunks."""
    block_bytes = BLOCKS[kind][2]
    left = size // block_bytes
    while left:
        count = min(left, CHUNK_BLOCKS)
        yield FILLERS[kind](count, rng)
        left -= count


def _floats(type_name: str) -> Callable[[int, np.random.Generator], bytes]:
    def fill(count: int, rng: np.random.Generator) -> bytes:
        values = rng.standard_normal(count, dtype=np.float32) * np.float32(SPREAD)
        return values.astype(type_name).tobytes()

    return fill


def _blocks(size: int, scales: dict[int, float]) -> Callable[[int, np.random.Generator], bytes]:
    """Random bytes in blocks of ``size``, with half-precision numbers at the given offsets."""

    def fill(count: int, rng: np.random.Generator) -> bytes:
        data: NDArray[np.uint8] = np.frombuffer(rng.bytes(count * size), np.uint8)
        data = data.reshape(count, size).copy()
        for offset, value in scales.items():
            data[:, offset : offset + 2] = np.frombuffer(np.float16(value).tobytes(), np.uint8)
        return data.tobytes()

    return fill


FILLERS: dict[int, Callable[[int, np.random.Generator], bytes]] = {
    0: _floats("<f4"),
    1: _floats("<f2"),
    2: _blocks(18, {0: SPREAD / 4.6}),
    3: _blocks(20, {0: SPREAD / 4.6, 2: -7.5 * SPREAD / 4.6}),
    8: _blocks(34, {0: SPREAD / 74}),
    12: _blocks(144, {0: SPREAD / 180, 2: 7.5 * SPREAD / 180}),
    14: _blocks(210, {208: SPREAD / 1369}),
}
"""Type → random blocks whose weights have mean about 0 and the wanted spread."""
