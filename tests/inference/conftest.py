"""Tiny models of each architecture, with random weights, written once per session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.inference.shape_model import SHAPES, make_shape_model

TinyModel = Callable[..., Path]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """``tiny_model("arcee", "Q8_0")``: the path of a tiny model of that architecture and type."""
    folder = tmp_path_factory.mktemp("models")

    def build(architecture: str = "arcee", kind: str = "F32") -> Path:
        path = folder / f"{architecture}-{kind.lower()}.gguf"
        if not path.exists():
            make_shape_model(path, SHAPES[f"{architecture}-tiny"], kind, tokenizer=None)
        return path

    return build
