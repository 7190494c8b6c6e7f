"""Where memory leaves no room for the model, a smaller one answers until there is room again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_agent.config.inference import InferenceSection
from edge_agent.domain.completion import Completion, CompletionRequest
from edge_agent.errors import Unavailable
from edge_agent.inference.client import WorkerClient
from edge_agent.inference.shape_model import SHAPES, make_shape_model
from edge_agent.inference.tier import TierChoice
from edge_agent.models.switch import ModelSwitch

QUESTION = CompletionRequest(
    request_id="1",
    system="s",
    context="c",
    question="q",
    json_schema={"enum": ["leak", "wear"]},
    max_tokens=32,
    greedy=True,
    threads=1,
)
LARGE = "smollm2-135m"
ROOM_MB, TIGHT_MB, NONE_MB = 900, 140, 20


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.gguf"
    make_shape_model(path, SHAPES["arcee-tiny"], "F32", tokenizer=None)
    return str(path)


@dataclass
class Gateway:
    """A switch in a gateway whose free memory the test sets."""

    switch: ModelSwitch
    room_mb: int = ROOM_MB

    def ask(self) -> Completion:
        return self.switch.complete(QUESTION, lambda: False)


@pytest.fixture
def gateway(tmp_path: Path, small: str) -> Iterator[Gateway]:
    room: Callable[[], int] = lambda: made.room_mb  # noqa: E731 - made is bound below

    def make(settings: InferenceSection, folder: Path) -> WorkerClient:
        return WorkerClient(settings, runtime_dir=folder, models_dir=tmp_path, memory_limit_mb=room)

    settings = InferenceSection(context=1024, fallbacks=(small,))
    made = Gateway(ModelSwitch(settings, tmp_path, make, tmp_path, room))
    yield made
    made.switch.close(0.0)


@pytest.mark.model
def test_the_answer_comes_from_the_largest_model_that_there_is_room_for(gateway: Gateway) -> None:
    assert gateway.ask().model.name == LARGE
    gateway.room_mb = TIGHT_MB
    assert gateway.ask().model.name == "small"
    assert gateway.switch.status().model.endswith("small.gguf")
    gateway.room_mb = ROOM_MB
    assert gateway.ask().model.name == LARGE


@pytest.mark.model
def test_without_room_for_any_the_wanted_models_refusal_is_told(gateway: Gateway) -> None:
    gateway.room_mb = NONE_MB
    with pytest.raises(Unavailable, match="20 MB are left"):
        gateway.ask()
    assert gateway.switch.status().model == LARGE


def test_what_may_not_or_cannot_be_loaded_is_no_choice(tmp_path: Path, small: str) -> None:
    ladder = ("afm-4.5b-q4_k_m", str(tmp_path / "absent.gguf"), small)
    settings = InferenceSection(model=LARGE, context=1024, fallbacks=ladder)
    tiers = TierChoice(settings, tmp_path)
    assert tiers.choose(LARGE, TIGHT_MB) == small
    assert tiers.choose("afm-4.5b-q4_k_m", TIGHT_MB) == "afm-4.5b-q4_k_m"


def test_a_context_too_short_to_be_of_use_steps_down(tmp_path: Path, small: str) -> None:
    settings = InferenceSection(model=LARGE, context=8192, fallbacks=(small,))
    tiers = TierChoice(settings, tmp_path)
    chosen = [tiers.choose(LARGE, room) for room in range(ROOM_MB, 0, -20)]
    assert chosen.index(small) > 0
    assert LARGE not in chosen[chosen.index(small) : chosen.index(small) + 3]
