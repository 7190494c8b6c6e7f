"""Crafted headers: read, or refused with a plain reason; nothing else, whatever the bytes are."""

from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import BadConfig
from edge_agent.inference.gguf import MAGIC, BadModel, parse_header, read_header
from edge_agent.inference.gguf_writer import Blob, Value, header_bytes, write_gguf

METADATA: dict[str, Value] = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.context_length": 128,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
    "tokenizer.ggml.tokens": ["a", "b", "c"],
}
BLOBS = [Blob("token_embd.weight", (64, 3), 0, lambda: [b"\0" * 768])]


def changed(**changes: Value) -> dict[str, Value]:
    return METADATA | {key.replace("__", "."): value for key, value in changes.items()}


def parse(data: bytes) -> object:
    return parse_header(io.BytesIO(data), len(data), "crafted.gguf")


def whole(metadata: dict[str, Value] = METADATA) -> bytes:
    head = header_bytes(metadata, BLOBS)
    return head + b"\0" * (-len(head) % 32) + b"\0" * 768


def test_sound_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(path, METADATA, BLOBS)
    header = read_header(path)
    assert header.architecture == "llama"
    assert header.number("block_count") == 2
    assert header.lengths["tokenizer.ggml.tokens"] == 3
    assert header.weight_bytes == 768


def test_number_that_differs_by_layer_is_its_largest() -> None:
    header = parse_header(
        io.BytesIO(whole(changed(llama__attention__head_count_kv=[2, 4]))), 10_000, "x"
    )
    assert header.number("attention.head_count_kv") == 4


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no GGUF file"),
        (b"PK\x03\x04" + b"\0" * 60, "no GGUF file"),
        (MAGIC + struct.pack("<IQQ", 1, 0, 0), "version 1 is unknown"),
        (MAGIC + struct.pack("<IQQ", 3, 1 << 60, 1), "absurd"),
        (MAGIC + struct.pack("<IQQ", 3, 1, 1 << 60), "absurd"),
        (MAGIC + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 62), "a string of"),
        (MAGIC + struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + struct.pack("<I", 99), "type 99"),
        (
            MAGIC + struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + struct.pack("<IIQ", 9, 8, 1 << 40),
            "an array of",
        ),
        (
            MAGIC + struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + struct.pack("<IIQ", 9, 9, 1),
            "array of arrays",
        ),
        (whole()[:-900], "truncated|ends inside"),
        (whole()[:-700], "past the end of the file; fetch it again"),
        (whole(changed(general__architecture="rwkv7")), "architecture 'rwkv7' is unknown"),
        (whole(changed(llama__block_count=4_000_000)), "block_count is 4000000"),
        (whole(changed(llama__block_count="two")), "lacks llama.block_count"),
        (whole(changed(general__alignment=7)), "alignment"),
        (whole(changed(split__count=3)), "one part of a split model"),
        (whole(changed(tokenizer__ggml__tokens=[])), "no vocabulary"),
    ],
)
def test_unsound_header_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(BadModel, match=reason) as caught:
        parse(data)
    assert "crafted.gguf" in str(caught.value)


def test_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="cannot be read"):
        read_header(tmp_path / "none.gguf")


@given(st.binary(max_size=300))
def test_any_bytes_parse_or_are_refused(data: bytes) -> None:
    for crafted in (data, MAGIC + data, MAGIC + struct.pack("<IQQ", 3, 1, 2) + data):
        with pytest.raises(BadModel):
            parse(crafted)


@given(st.integers(0, len(whole()) - 1), st.integers(0, 255))
def test_one_changed_byte_is_read_or_refused(position: int, value: int) -> None:
    data = bytearray(whole())
    data[position] = value
    with contextlib.suppress(BadModel):
        parse(bytes(data))
