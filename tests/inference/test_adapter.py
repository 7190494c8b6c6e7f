"""A LoRA adapter is applied to the requests that ask for it, and to no other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from edge_agent.domain.completion import CompletionRequest, Question, ReadingRequest
from edge_agent.errors import BadAnswer, BadConfig
from edge_agent.inference.adapter import adapters, checked
from edge_agent.inference.catalog import describe, sha256_of
from edge_agent.inference.engine import Engine
from edge_agent.inference.gguf import BadModel, read_adapter_header, read_header
from edge_agent.inference.gguf_writer import Blob, Value, write_gguf
from edge_agent.inference.native import ContextShape

TinyModel = Callable[..., Path]
F32 = 0
READING = ReadingRequest(
    request_id="1",
    texts=("Signals: a; b\nFault: a rises\n", "Signals: a; b\nFault: b falls\n"),
    questions=(
        Question(text="a:", options=("up", "down")),
        Question(text="b:", options=("x", "y")),
    ),
    threads=1,
)
ANSWER = CompletionRequest(
    request_id="2",
    system="s",
    context="c",
    question="q",
    json_schema={"type": "string", "maxLength": 30},
    max_tokens=48,
    greedy=True,
    threads=1,
)


def write_adapter(folder: Path, base: Path, name: str = "loud", seed: int = 1) -> None:
    """A random adapter of rank 4 on the query weights, with its manifest."""
    header = read_header(base)
    random = np.random.default_rng(seed)
    blobs = []
    for tensor in header.tensors:
        if tensor.name.endswith("attn_q.weight"):
            inside, out = tensor.shape
            for part, shape in (("a", (inside, 4)), ("b", (4, out))):
                data = random.normal(0, 1, shape[::-1]).astype("<f4").tobytes()
                blobs.append(Blob(f"{tensor.name}.lora_{part}", shape, F32, partial(iter, (data,))))
    metadata: dict[str, Value] = {
        "general.architecture": header.architecture,
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": 8.0,
    }
    path = folder / f"{name}.gguf"
    write_gguf(path, metadata, blobs)
    (folder / f"{name}.adapter.toml").write_text(
        f'name = "{name}"\nfile = "{path.name}"\nsize = {path.stat().st_size}\n'
        f'sha256 = "{sha256_of(path)}"\ntask = "fault-reading"\nbase = "tiny"\n'
        f'base_sha256 = "{sha256_of(base)}"\n'
    )


@pytest.fixture
def base(tiny_model: TinyModel) -> Path:
    return tiny_model("arcee", "F32")


@pytest.fixture
def engine(base: Path, tmp_path: Path) -> Iterator[Engine]:
    write_adapter(tmp_path, base)
    header, digest = read_header(base), sha256_of(base)
    find = partial(
        checked, base_sha256=digest, architecture=header.architecture, models_dir=tmp_path
    )
    manifest = describe(base, header)
    made = Engine(str(base), manifest, digest, ContextShape(1024, threads=1), None, find)
    yield made
    made.close()


def never() -> bool:
    return False


def test_a_reading_with_the_adapter_differs_and_leaves_no_trace(engine: Engine) -> None:
    plain = engine.read(READING, never)
    loud = engine.read(READING.model_copy(update={"adapter": "loud"}), never)
    again = engine.read(READING, never)
    assert plain.probabilities == again.probabilities != loud.probabilities
    assert (plain.adapter_sha256, len(loud.adapter_sha256)) == ("", 64)
    assert [len(text) for text in plain.probabilities] == [2, 2]
    assert all(sum(q) == pytest.approx(1) for text in loud.probabilities for q in text)


def test_answers_and_kept_prefixes_do_not_mix(engine: Engine) -> None:
    plain = engine.complete(ANSWER, never)
    loud = engine.complete(ANSWER.model_copy(update={"adapter": "loud"}), never)
    assert engine.complete(ANSWER, never).text == plain.text
    again = engine.complete(ANSWER.model_copy(update={"adapter": "loud"}), never)
    assert again.text == loud.text != plain.text
    assert again.tokens_cached > 0, "each has a prefix of its own"


def test_each_text_is_read_as_if_alone(engine: Engine) -> None:
    """Texts share what they begin with, and questions share their text; neither may show."""
    together = engine.read(READING, never).probabilities
    for text, expected in zip(READING.texts, together, strict=True):
        for question, answer in zip(READING.questions, expected, strict=True):
            alone = READING.model_copy(update={"texts": (text,), "questions": (question,)})
            found = engine.read(alone, never).probabilities[0][0]
            assert found == pytest.approx(answer, abs=1e-4)


def test_many_signals_and_faults_fit_by_batches(engine: Engine) -> None:
    questions = tuple(Question(text=f"signal {n}:", options=("up", "down", "x")) for n in range(60))
    texts = tuple(f"Signals: many\nFault: number {n} is wrong\n" for n in range(40))
    found = engine.read(READING.model_copy(update={"texts": texts, "questions": questions}), never)
    assert (len(found.probabilities), len(found.probabilities[39])) == (40, 60)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"adapter": "nobody"}, "no adapter is called 'nobody'; there are"),
        ({"questions": (Question(text="a:", options=("x", "x")),)}, "apart"),
        ({"texts": ("word " * 3000,)}, "shorten the text"),
    ],
)
def test_what_cannot_be_read_is_said(engine: Engine, change: dict[str, object], told: str) -> None:
    with pytest.raises(BadAnswer, match=told):
        engine.read(READING.model_copy(update=change), never)
    assert engine.read(READING, never).probabilities


def test_an_adapter_of_another_base_or_a_damaged_one_is_refused(
    base: Path, tiny_model: TinyModel, tmp_path: Path
) -> None:
    write_adapter(tmp_path, base)
    digest = sha256_of(base)
    with pytest.raises(BadModel, match="architecture arcee, the model's is llama"):
        checked("loud", digest, "llama", tmp_path)
    with pytest.raises(BadConfig, match="belongs to tiny"):
        checked("loud", hashlib.sha256(b"other").hexdigest(), "arcee", tmp_path)
    damaged = bytearray((tmp_path / "loud.gguf").read_bytes())
    damaged[-5] ^= 1
    (tmp_path / "loud.gguf").write_bytes(damaged)
    with pytest.raises(BadModel, match="not the file of its manifest"):
        checked("loud", digest, "arcee", tmp_path)
    (tmp_path / "loud.gguf").write_bytes(damaged[:200])
    with pytest.raises(BadModel, match="not an adapter that can be loaded"):
        checked("loud", digest, "arcee", tmp_path)
    (tmp_path / "loud.adapter.toml").write_text("name = 5")
    with pytest.raises(BadConfig, match="no adapter manifest"):
        adapters(tmp_path)


def test_a_model_is_no_adapter_and_an_adapter_no_model(base: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path, base)
    with pytest.raises(BadModel, match="its types are"):
        read_adapter_header(base)
    with pytest.raises(BadModel, match="needs its base model"):
        read_header(tmp_path / "loud.gguf")
