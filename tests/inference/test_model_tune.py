"""Tuning a tiny model: variants are measured, the choice is written, used, and void once stale."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_agent.errors import Unavailable
from edge_agent.inference.catalog import resolve
from edge_agent.inference.holder import HolderSettings, ModelHolder
from edge_agent.inference.trial import distance
from edge_agent.inference.tune import Limits, tune
from edge_agent.inference.tuning import (
    Trial,
    Tuning,
    Variant,
    read_tuning,
    tuning_path,
    write_tuning,
)

Tried = list[tuple[Variant, Trial | str]]


@pytest.fixture
def named(tmp_path: Path, tiny_model: Callable[..., Path]) -> str:
    """A tiny model in a models directory of its own, under the name ``tiny``."""
    from edge_agent.inference.catalog import sha256_of

    shutil.copyfile(tiny_model("llama", "F32"), tmp_path / "tiny.gguf")
    digest = sha256_of(tmp_path / "tiny.gguf")
    (tmp_path / "tiny.model.toml").write_text(
        f'name = "tiny"\nsource = "tiny.gguf"\nsha256 = "{digest}"\n', encoding="utf-8"
    )
    return "tiny"


def search(name: str, folder: Path, limits: Limits) -> Tried:
    tried: Tried = []
    tune(
        resolve(name, folder),
        folder,
        threads=1,
        limits=limits,
        tried=lambda variant, outcome: tried.append((variant, outcome)),
    )
    return tried


def test_variants_are_measured_and_the_choice_is_used(named: str, tmp_path: Path) -> None:
    tried = search(named, tmp_path, Limits(kl=10, agreement=0))
    kinds = {variant.quantization for variant, outcome in tried if isinstance(outcome, Trial)}
    assert {"original", "Q8_0"} <= kinds
    tuning = read_tuning(named, tmp_path)
    assert tuning is not None
    holder = ModelHolder(HolderSettings(named, tmp_path, tmp_path, context=512))
    loaded = holder.load().identity.sha256
    holder.drop()
    assert loaded == (tuning.sha256 or tuning.original_sha256)
    assert not list(tmp_path.glob("tune-*"))


def test_distant_variants_are_not_chosen(named: str, tmp_path: Path) -> None:
    tried = search(named, tmp_path, Limits(kl=0, agreement=1))
    tuning = read_tuning(named, tmp_path)
    assert tuning is not None
    assert tuning.chosen.kl == 0
    distances = [outcome.kl for _, outcome in tried if isinstance(outcome, Trial)]
    assert max(distances) > 0


def test_choice_for_another_file_is_ignored(named: str, tmp_path: Path) -> None:
    trial = Trial(
        variant=Variant(batch=64), prefill_tokens_per_second=1, decode_ms=1, kl=0, agreement=1
    )
    stale = Tuning(model=named, original_sha256="0" * 64, chosen=trial, original=trial)
    write_tuning(stale, tmp_path)
    holder = ModelHolder(HolderSettings(named, tmp_path, tmp_path, context=512))
    assert holder.load().context.shape.batch == 512
    holder.drop()
    digest = resolve(named, tmp_path).manifest.sha256
    write_tuning(stale.model_copy(update={"original_sha256": digest}), tmp_path)
    assert holder.load().context.shape.batch == 64
    holder.drop()


def test_damaged_choice_means_not_tuned(named: str, tmp_path: Path) -> None:
    path = tuning_path(named, tmp_path)
    path.write_text("{damaged", encoding="utf-8")
    assert read_tuning(named, tmp_path) is None
    trial = Trial(variant=Variant(), prefill_tokens_per_second=1, decode_ms=1, kl=0, agreement=1)
    outside = Tuning(
        model=named, original_sha256="0" * 64, file="../../x", chosen=trial, original=trial
    )
    write_tuning(outside, tmp_path)
    assert read_tuning(named, tmp_path) is None


def test_model_that_cannot_run_is_said(tmp_path: Path, tiny_model: Callable[..., Path]) -> None:
    model = resolve(str(tiny_model("llama", "F32")), tmp_path)
    broken = tmp_path / "broken.gguf"
    shutil.copyfile(model.path, broken)
    found = resolve(str(broken), tmp_path)
    with broken.open("r+b") as file:
        file.truncate(50_000)
    with pytest.raises(Unavailable, match="ended with code"):
        tune(found, tmp_path, threads=1, limits=Limits(), tried=lambda *_: None)


def test_distance_follows_its_definition() -> None:
    reference = np.log(np.array([[0.5, 0.5], [0.9, 0.1]], dtype=np.float32))
    found = np.log(np.array([[0.5, 0.5], [0.1, 0.9]], dtype=np.float32))
    kl, agreement = distance(reference, found)
    assert kl == pytest.approx((0.9 * np.log(9) - 0.1 * np.log(9)) / 2, rel=1e-4)
    assert agreement == 0.5
