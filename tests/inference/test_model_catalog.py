"""The catalogue: names, files, hashes, licences; and what a plan says of a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.errors import BadConfig
from edge_agent.inference.catalog import MissingModel, manifests, resolve, verify
from edge_agent.inference.gguf import BadModel, read_header
from edge_agent.inference.manifest import EMBEDDED, Manifest, check_licence
from edge_agent.inference.plan import DoesNotFit, fit, kv_bytes_per_token, plan_for


def test_embedded_model_is_found_and_verified(tmp_path: Path) -> None:
    model = resolve("smollm2-135m", tmp_path)
    assert verify(model, tmp_path) == EMBEDDED.sha256
    assert (tmp_path / "verified.json").exists()
    assert verify(model, tmp_path) == EMBEDDED.sha256


def test_changed_file_is_hashed_again_and_refused(tmp_path: Path) -> None:
    original = resolve("smollm2-135m", tmp_path).path.read_bytes()
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(original)
    manifest = EMBEDDED.model_copy(update={"source": "copy.gguf", "name": "copy"})
    (tmp_path / "copy.model.toml").write_text(
        f'name = "copy"\nsource = "copy.gguf"\nsha256 = "{manifest.sha256}"\n', encoding="utf-8"
    )
    model = resolve("copy", tmp_path)
    verify(model, tmp_path)
    with copy.open("r+b") as file:
        file.seek(-1000, 2)
        file.write(b"swapped")
    with pytest.raises(BadModel, match="is not the file of copy: its sha256 is"):
        verify(model, tmp_path)
    copy.write_bytes(original[:50_000_000])
    with pytest.raises(BadModel, match="truncated"):
        verify(model, tmp_path)


def test_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"no model is called 'gpt'.*smollm2-135m"):
        resolve("gpt", tmp_path)


def test_afm_is_known_and_says_how_to_fetch_it(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match=r"edge-agent model add afm-4\.5b"):
        resolve("afm-4.5b-q4_k_m", tmp_path)
    assert manifests(tmp_path)["afm-4.5b-q4_k_m"].licence == "apache-2.0"


def test_gated_licence_must_be_accepted_by_name() -> None:
    manifest = Manifest(name="afm", source="afm.gguf", licence="arcee-model-license")
    with pytest.raises(BadConfig, match=r"1\.75 million USD.*accepted_licences"):
        check_licence(manifest, ("apache-2.0",))
    check_licence(manifest, ("arcee-model-license",))


def test_plan_follows_the_header() -> None:
    header = read_header(resolve("smollm2-135m", Path()).path)
    assert kv_bytes_per_token(header, "f16") == 2 * 30 * 3 * 64 * 2
    plan = plan_for(header, 4000, "f16")
    assert plan.context == 4096
    assert plan.kv == 4096 * 23_040
    assert 95e6 < plan.weights < 98.4e6


def test_plan_shortens_the_context_and_then_refuses() -> None:
    header = read_header(resolve("smollm2-135m", Path()).path)
    full = fit(header, 1 << 20, "f16", 10_000)
    assert full.context == 8192
    tight = fit(header, 4096, "f16", 260)
    assert tight.context < 4096
    assert tight.total_mb <= 260
    with pytest.raises(DoesNotFit, match=r"needs \d+ MB even with 512 tokens.*100 MB are left"):
        fit(header, 4096, "f16", 100)
