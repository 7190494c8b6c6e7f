"""Prefixes on disk: restored after a restart, worthless when damaged, bounded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_agent.domain.completion import Completion, CompletionRequest
from edge_agent.inference.catalog import resolve
from edge_agent.inference.engine import Engine
from edge_agent.inference.native import ContextShape
from edge_agent.inference.prefix_store import PrefixStore


def answer_of_new_engine(model: Path, folder: Path, card: str = "the pump " * 60) -> Completion:
    """What a worker that has just started says."""
    found = resolve(str(model), folder)
    store = PrefixStore(folder, 100, ("hash", "f16", "1"))
    engine = Engine(str(model), found.manifest, "0" * 64, ContextShape(1024), store)
    request = CompletionRequest(
        request_id="r",
        system="s",
        context=card,
        question="why?",
        json_schema={"type": "string", "maxLength": 20},
        max_tokens=60,
        greedy=True,
        threads=1,
    )
    completion = engine.complete(request, lambda: False)
    engine.close()
    return completion


def test_restarted_worker_finds_its_prefix(tmp_path: Path, tiny_model: Callable[..., Path]) -> None:
    first = answer_of_new_engine(tiny_model("arcee"), tmp_path)
    again = answer_of_new_engine(tiny_model("arcee"), tmp_path)
    assert (first.tokens_cached, again.tokens_cached > 64) == (0, True)
    assert again.text == first.text


def test_damaged_prefix_is_computed_again(tmp_path: Path, tiny_model: Callable[..., Path]) -> None:
    first = answer_of_new_engine(tiny_model("arcee"), tmp_path)
    (path,) = tmp_path.glob("*.prefix")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    again = answer_of_new_engine(tiny_model("arcee"), tmp_path)
    assert again.tokens_cached == 0
    assert again.text == first.text


def test_sound_envelope_with_a_foreign_state_is_computed(
    tmp_path: Path, tiny_model: Callable[..., Path]
) -> None:
    answer_of_new_engine(tiny_model("llama"), tmp_path)
    answer = answer_of_new_engine(tiny_model("smollm3"), tmp_path)  # twice the layers
    assert answer.tokens_cached == 0


def test_store_is_bounded_and_drops_the_oldest(tmp_path: Path) -> None:
    store = PrefixStore(tmp_path, 1, ("m",))
    for number in range(6):
        store.save([number], bytes(300_000))
    kept = [number for number in range(6) if store.load([number]) is not None]
    assert kept == [3, 4, 5]
    store.save([9], bytes(600_000))
    assert store.load([9]) is None
    assert PrefixStore(tmp_path, 1, ("another model",)).load([5]) is None


def test_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    store = PrefixStore(tmp_path / "file", 1, ("m",))
    store.save([1], b"state")
    assert store.load([1]) is None
