"""The model is unloaded when it has long not been used, and loaded again when it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workers import request

from edge_agent.inference.holder import HolderSettings, ModelHolder


def test_idle_model_is_unloaded_and_comes_back(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    settings = HolderSettings(
        model=str(tiny_model()), models_dir=tmp_path, cache_dir=tmp_path, context=1024
    )
    patient = ModelHolder(settings)
    patient.load()
    patient.idle()
    assert patient.engine is not None
    patient.drop()
    hasty = ModelHolder(
        HolderSettings(
            model=settings.model,
            models_dir=tmp_path,
            cache_dir=tmp_path,
            context=1024,
            idle_unload_s=1e-9,
        )
    )
    first = hasty.load().complete(request(), lambda: False)
    hasty.idle()
    assert hasty.engine is None
    again = hasty.load().complete(request(), lambda: False)
    assert again.text == first.text
    hasty.drop()
