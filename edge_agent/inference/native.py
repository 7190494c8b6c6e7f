"""llama.cpp through its C interface: a loaded model and a context with an abort flag.

Only this file touches ctypes. The binding's package would load its own high-level engine, a
template engine and a disk cache on import (17 MB and 0.3 s); its low-level module needs none of
them, so the package's ``__init__`` is passed over.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from llguidance import LLTokenizer
from numpy.typing import NDArray

from edge_agent.errors import Unavailable

LOG_WARNING, LOG_ERROR = 3, 4
"""ggml's log levels (``ggml_log_level``); 1 is debug, 2 is info, 5 continues a line."""
ABORTED = 2
FULL = 1


def _binding() -> Any:  # noqa: ANN401 -- a module without types
    name = "llama_cpp.llama_cpp"
    if "llama_cpp" in sys.modules:
        return importlib.import_module(name)
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.submodule_search_locations is None:
        raise Unavailable("llama-cpp-python is not installed; no model can run")
    shell = types.ModuleType("llama_cpp")
    shell.__path__ = list(spec.submodule_search_locations)
    sys.modules["llama_cpp"] = shell
    try:
        return importlib.import_module(name)
    finally:
        del sys.modules["llama_cpp"]  # whoever imports the package later gets the real one


def _load_backends(binding: Any) -> None:  # noqa: ANN401 -- a module without types
    """A build for many processors has a library for each family of them beside libllama: ggml
    loads the best that this processor runs. A build for one processor has it linked in."""
    folder = Path(binding.__file__).parent / "lib"
    if any(folder.glob("libggml-cpu-*.so")):
        load = binding._lib.ggml_backend_load_all_from_path
        load.argtypes, load.restype = [ctypes.c_char_p], None
        load(os.fsencode(folder))


C: Any = _binding()
_load_backends(C)
_LIBC = ctypes.CDLL(None)


class Aborted(Exception):
    """The abort flag was raised while the model computed."""


class CacheFull(Exception):
    """No room in the KV cache for this batch."""


def route_log(sink: Callable[[int, str], None]) -> None:
    """Hand every line that llama.cpp logs (levels: below) to ``sink``."""

    def forward(level: int, text: bytes | None, _data: object) -> None:
        if text:
            sink(level, text.decode("utf-8", errors="replace").rstrip("\n"))

    global _log_callback  # noqa: PLW0603 -- C keeps the pointer: it must never be collected
    _log_callback = C.llama_log_callback(forward)
    C.llama_log_set(_log_callback, None)


_log_callback: Any = None


M_ARENA_MAX = -8
"""Of glibc's ``malloc.h``."""


def share_one_arena() -> None:
    """One heap for all threads; glibc alone gives each its own. Call before there are any."""
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(M_ARENA_MAX, 1)


def release_unused() -> None:
    """Give back what loading left behind; without effect where the C library is not glibc."""
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)


class LoadedModel:
    """Weights and vocabulary in memory. The file is read, never mapped: llama.cpp repacks weights
    for the CPU, and a mapping would keep a second copy resident."""

    def __init__(self, path: str) -> None:
        parameters = C.llama_model_default_params()
        parameters.load_mode = C.LLAMA_LOAD_MODE_NONE
        parameters.n_gpu_layers = 0
        self.handle = C.llama_model_load_from_file(path.encode(), parameters)
        if not self.handle:
            raise Unavailable("llama.cpp could not load the model; its log says why")
        self.vocabulary = C.llama_model_get_vocab(self.handle)
        self.size: int = C.llama_vocab_n_tokens(self.vocabulary)
        self.ends = [t for t in range(self.size) if C.llama_vocab_is_eog(self.vocabulary, t)]
        self.start_token: int | None = None
        if C.llama_vocab_get_add_bos(self.vocabulary):
            self.start_token = C.llama_vocab_bos(self.vocabulary)

    def tokenize(self, text: str, control: bool = False) -> list[int]:
        """Tokens of ``text``; control tokens are recognised only where ``control`` says so."""
        data = text.encode("utf-8", errors="replace")
        room = len(data) + 8
        buffer = (ctypes.c_int32 * room)()
        count = C.llama_tokenize(self.vocabulary, data, len(data), buffer, room, False, control)
        if count < 0:
            raise Unavailable(f"the tokenizer refused {len(data)} bytes of text")
        return list(buffer[:count])

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Bytes of one token, which may be part of a UTF-8 character."""
        buffer = ctypes.create_string_buffer(1024)
        count = C.llama_token_to_piece(self.vocabulary, token, buffer, 1024, 0, special)
        return buffer.raw[: max(count, 0)]

    def constraint_tokenizer(self) -> LLTokenizer:
        """llguidance's view of the vocabulary; control tokens are marked with 0xff."""
        pieces = []
        for token in range(self.size):
            piece = self.piece(token, special=True)
            attributes = C.llama_vocab_get_attr(self.vocabulary, token)
            if attributes & C.LLAMA_TOKEN_ATTR_CONTROL or (
                attributes & C.LLAMA_TOKEN_ATTR_USER_DEFINED
                and piece.startswith(b"<")
                and piece.endswith(b">")
            ):
                piece = b"\xff" + piece
            pieces.append(piece)
        tokenize = ctypes.cast(C._lib.llama_tokenize, ctypes.c_void_p).value
        return LLTokenizer.from_llamacpp(
            tokens=pieces,
            vocab_ptr=self.vocabulary,
            tokenize_fptr=tokenize,
            eos_token=self.ends or None,
            slices=[],  # they make a mask, which few tokens need, 1 ms faster, and take 13 MB
        )

    def load_adapter(self, path: str) -> Any:  # noqa: ANN401 -- a C pointer
        """A LoRA adapter in memory; it lives as long as the model."""
        adapter = C.llama_adapter_lora_init(self.handle, path.encode())
        if not adapter:
            raise Unavailable("llama.cpp could not load the adapter; its log says why")
        return adapter

    def close(self) -> None:
        """Free the weights."""
        if self.handle:
            C.llama_model_free(self.handle)
            self.handle = None


def quantize(source: str, target: str, kind: str, threads: int) -> None:
    """Write ``source`` with weights of type ``kind`` (a name in ``QUANTIZATIONS``) to ``target``.
    Raises ``Unavailable`` if llama.cpp refuses."""
    parameters = C.llama_model_quantize_default_params()
    parameters.ftype = QUANTIZATIONS[kind]
    parameters.allow_requantize = True
    parameters.nthread = threads
    if C.llama_model_quantize(source.encode(), target.encode(), parameters) != 0:
        raise Unavailable(f"llama.cpp could not write {target} as {kind}; its log says why")


VERSION: str = C.llama_version().decode("ascii", errors="replace")
"""Of llama.cpp: saved states are not carried over to another."""

QUANTIZATIONS = {
    "F16": C.LLAMA_FTYPE_MOSTLY_F16,
    "Q8_0": C.LLAMA_FTYPE_MOSTLY_Q8_0,
    "Q4_K_M": C.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    "Q4_0": C.LLAMA_FTYPE_MOSTLY_Q4_0,
}
"""Types that a device may re-quantize to."""


@dataclass(slots=True)
class Row:
    """One token of a batch: at which position of which sequence, and whether to return logits."""

    token: int
    position: int
    sequence: int
    logits: bool = False


@dataclass(frozen=True, slots=True)
class ContextShape:
    """How much a context can hold and how it computes."""

    tokens: int
    sequences: int = 32
    batch: int = 512
    outputs: int = 32
    kv_type: str = "f16"
    threads: int = 2
    flash_attention: bool | None = None
    """None leaves it to llama.cpp."""


class Context:
    """KV cache and computation. Sequences share cells after a copy (unified cache)."""

    def __init__(self, model: LoadedModel, shape: ContextShape) -> None:
        p = C.llama_context_default_params()
        p.n_ctx, p.n_batch, p.n_ubatch = shape.tokens, shape.batch, shape.batch
        p.n_seq_max = shape.sequences
        p.n_outputs_max, p.n_outputs_max_per_seq = shape.outputs, 0
        p.n_threads = p.n_threads_batch = shape.threads
        p.kv_unified, p.no_perf, p.offload_kqv = True, True, False
        if shape.flash_attention is not None:
            p.flash_attn_type = int(shape.flash_attention)
        if shape.kv_type == "q8_0":
            p.type_k = p.type_v = C.GGML_TYPE_Q8_0
        self.handle = C.llama_init_from_model(model.handle, p)
        if not self.handle:
            raise Unavailable(f"llama.cpp made no context of {shape.tokens} tokens; see its log")
        self.shape = shape
        self.tokens: int = C.llama_n_ctx(self.handle)
        self._vocabulary_size = model.size
        self._memory = C.llama_get_memory(self.handle)
        self._batch = C.llama_batch_init(shape.batch, 0, 1)
        # strlen of this buffer is the abort callback: 0 goes on, anything else stops. llama.cpp
        # asks some 500 times per token, and a C function needs no interpreter lock for it.
        self._flag = ctypes.create_string_buffer(8)
        self._callback = ctypes.cast(_LIBC.strlen, C.ggml_abort_callback)
        C.llama_set_abort_callback(self.handle, self._callback, ctypes.addressof(self._flag))
        self.decode_calls = 0

    def abort(self) -> None:
        """Stop the running or next ``decode``; callable from any thread."""
        self._flag[0] = b"x"

    def rearm(self) -> None:
        """Clear the abort flag."""
        self._flag[0] = b"\0"

    def set_threads(self, threads: int) -> None:
        """Threads of the following calls."""
        C.llama_set_n_threads(self.handle, threads, threads)

    def use_adapter(self, adapter: Any | None) -> None:  # noqa: ANN401 -- a C pointer
        """Compute with ``adapter`` from now on; None: with the model as it is."""
        count = 0 if adapter is None else 1
        adapters = (C.llama_adapter_lora_p_ctypes * 1)(adapter)
        if C.llama_set_adapters_lora(self.handle, adapters, count, (ctypes.c_float * 1)(1.0)) != 0:
            raise Unavailable("llama.cpp could not apply the adapter; its log says why")

    def decode(self, rows: Sequence[Row]) -> None:
        """Compute one batch. Raises ``Aborted``, ``CacheFull`` or ``Unavailable``; in none of
        these cases are the rows in the cache afterwards unless ``drop`` has not been called."""
        batch = self._batch
        for i, row in enumerate(rows):
            batch.token[i] = row.token
            batch.pos[i] = row.position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = row.sequence
            batch.logits[i] = row.logits
        batch.n_tokens = len(rows)
        self.decode_calls += 1
        status = C.llama_decode(self.handle, batch)
        if status == ABORTED:
            raise Aborted
        if status == FULL:
            raise CacheFull
        if status != 0:
            raise Unavailable(f"llama.cpp could not compute a batch (code {status}); see its log")

    def logits(self, row: int) -> NDArray[np.float32]:
        """Logits of the batch's row ``row``: a view that the next ``decode`` overwrites."""
        pointer = C.llama_get_logits_ith(self.handle, row)
        return np.ctypeslib.as_array(pointer, shape=(self._vocabulary_size,))

    def copy(self, source: int, target: int) -> None:
        """Let ``target`` continue where ``source`` stands; cells are shared, not copied."""
        C.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def drop(self, sequence: int, start: int = 0) -> None:
        """Forget the tokens of ``sequence`` from position ``start`` on."""
        C.llama_memory_seq_rm(self._memory, sequence, start, -1)

    def state(self, sequence: int) -> bytes:
        """The cached tokens of ``sequence`` as bytes, for ``restore``."""
        size = C.llama_state_seq_get_size(self.handle, sequence)
        buffer = (ctypes.c_uint8 * size)()
        written = C.llama_state_seq_get_data(self.handle, buffer, size, sequence)
        return bytes(memoryview(buffer)[:written])

    def restore(self, sequence: int, state: bytes) -> bool:
        """Put back what ``state`` gave; False (and an empty sequence) if it does not fit."""
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        if C.llama_state_seq_set_data(self.handle, buffer, len(state), sequence) == len(state):
            return True
        self.drop(sequence)
        return False

    def close(self) -> None:
        """Free cache and buffers."""
        if self.handle:
            C.llama_batch_free(self._batch)
            C.llama_free(self.handle)
            self.handle = None
