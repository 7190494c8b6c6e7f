"""Which model a memory budget allows, and about how fast it will be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_agent.cli import app
from edge_agent.cli.model_plan import ladder
from edge_agent.errors import BadConfig
from edge_agent.inference.choice import best_plan, candidates
from edge_agent.inference.gguf import read_header
from edge_agent.inference.plan import fit
from edge_agent.inference.speed import Machine, estimate, measure_machine


def add(folder: Path, model: Path, name: str, tier: str) -> None:
    (folder / f"{name}.gguf").write_bytes(model.read_bytes())
    (folder / f"{name}.model.toml").write_text(
        f'name = "{name}"\nsource = "{name}.gguf"\ntier = "{tier}"\n', encoding="utf-8"
    )


def test_the_largest_tier_that_fits_is_chosen_and_the_others_say_why(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    add(tmp_path, tiny_model("arcee"), "big", "4.5b")
    add(tmp_path, tiny_model("llama"), "small", "1.2b")
    chosen, refused = ladder(tmp_path, 1024, float("inf"))
    assert chosen == "big"
    assert all("not here" in one["reason"] for one in refused)
    found = candidates(tmp_path, 1024, float("inf"))
    sizes = {one.manifest.name: one.plan.total_mb for one in found if one.plan}
    assert {"big", "small", "smollm2-135m"} <= set(sizes)
    with pytest.raises(BadConfig, match=r"no model of the catalogue can be chosen: .*big: .* MB"):
        ladder(tmp_path, 1024, 1.0)


def test_a_smaller_cache_type_is_taken_where_it_keeps_the_context(
    tiny_model: Callable[..., Path],
) -> None:
    header = read_header(tiny_model("llama"))
    whole = fit(header, 1024, "f16", float("inf"))
    assert best_plan(header, 1024, float("inf")).kv_type == "f16"
    tight = best_plan(header, 1024, whole.total_mb - 0.05)
    assert tight.context >= fit(header, 1024, "f16", whole.total_mb - 0.05).context
    assert tight.total_mb <= whole.total_mb - 0.05


def test_speed_goes_by_bandwidth_and_arithmetic(tiny_model: Callable[..., Path]) -> None:
    wide, narrow = (read_header(tiny_model("llama", kind)) for kind in ("F32", "Q8_0"))
    machine = Machine(1e9, 1e11)
    assert estimate(narrow, machine).decode > 2 * estimate(wide, machine).decode
    assert estimate(narrow, machine).prefill == estimate(wide, machine).prefill
    faster = Machine(2e9, 2e11)
    assert estimate(wide, faster).prefill == pytest.approx(2 * estimate(wide, machine).prefill)
    one = estimate(wide, machine)
    assert one.seconds(100, 10) == pytest.approx(100 / one.prefill + 10 / one.decode)


def test_the_machine_is_measured() -> None:
    machine = measure_machine(1)
    assert machine.bytes_per_second > 1e8
    assert machine.operations_per_second > 1e8


def test_plan_prints_memory_and_speed(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    model = str(tiny_model("llama"))
    words = ["model", "plan", model, "--models-dir", str(tmp_path)]
    document = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert document["kv_type"] == "f16"
    assert document["decode_tokens_per_second"] > 0
    assert document["speed_measured"] is False
    assert "estimated" in CliRunner().invoke(app, words).stdout
    wrong = CliRunner().invoke(app, [*words, "--kv-type", "q2"])
    assert wrong.exit_code == 2
