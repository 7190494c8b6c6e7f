"""The fits behind the rules' constants find what was put in; the picture shows what was counted."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from edge_agent.diagnose.calibration import NOTHING, OTHER, posterior
from edge_agent.domain.card import Calibration
from edge_agent.evaluation.calibrating import UNIFORM, Losses, Sample, fit, write_fit
from edge_agent.evaluation.dataset import find_datasets
from edge_agent.evaluation.diagnosis import Score
from edge_agent.evaluation.diagnosis_picture import draw
from edge_agent.evaluation.noise import effective_signals, fit_calm, noise_of
from edge_agent.evaluation.reliability import reliability


def overconfident(seed: int, count: int = 300) -> list[Sample]:
    """Cases whose scores are three times as sure as they are right."""
    rng = random.Random(seed)
    samples = []
    for _ in range(count):
        true = {name: rng.gauss(0.0, 2.0) for name in ("a", "b", "c")} | {NOTHING: 0.0, OTHER: -9.0}
        chances = posterior(Calibration(), true, dict.fromkeys("abc", 1 / 3))
        truth = rng.choices(list(chances), list(chances.values()))[0]
        if truth in "abc":
            samples.append(Sample({k: 3.0 * v for k, v in true.items()}, frozenset({truth})))
    return samples


def test_the_fit_finds_the_temperature_of_overconfident_scores(tmp_path: Path) -> None:
    sets = {"one": overconfident(1), "two": overconfident(2)}
    losses = {name: Losses(samples) for name, samples in sets.items()}
    whole, held_out = fit(losses)
    assert 2.2 < whole.temperature < 4.2
    assert set(held_out) == {"one", "two"}
    assert losses["one"].of(held_out["one"]) < losses["one"].of(Calibration()) - 0.1
    write_fit(sets, tmp_path / "calibration.json")
    document = json.loads((tmp_path / "calibration.json").read_text(encoding="utf-8"))
    assert document["calibration"] == whole.model_dump()
    assert document["samples"]["one"]["fault"] == len(sets["one"])
    assert document["mean_loss_nats"]["held_out"] < document["mean_loss_nats"]["before"]


def test_the_loss_is_that_of_the_published_probability() -> None:
    by = Calibration(temperature=1.7, unknown=0.05, nothing=0.2)
    sample = overconfident(3, 5)[0]
    chances = posterior(by, sample.scores, dict.fromkeys("abc", 1 / 3))
    right = sum(chances[name] for name in sample.truth)
    expected = -math.log((1 - UNIFORM) * right + UNIFORM / 5)
    assert Losses([sample]).of(by) == pytest.approx(expected)


def test_the_noise_fit_finds_tails_and_scale() -> None:
    rng = np.random.default_rng(5)
    freedom, scale, _ = fit_calm([1.3 * rng.standard_t(4, 4000), 1.3 * rng.standard_t(4, 2000)])
    assert freedom in (3.0, 4.0, 5.0)
    assert scale == pytest.approx(1.3, abs=0.11)


def test_signals_that_move_together_count_as_few() -> None:
    rng = np.random.default_rng(6)
    common = rng.normal(size=400)
    alike = [{f"s{n}": (0.0, float(x)) for n in range(8)} for x in common]
    apart = [{f"s{n}": (0.0, float(x)) for n, x in enumerate(rng.normal(size=8))} for _ in common]
    assert effective_signals(alike) == (8, 1.0)
    assert effective_signals(apart)[1] == pytest.approx(8.0, abs=0.3)
    assert effective_signals(alike[:10])[1] is None


def test_the_picture_holds_every_count_and_every_bin() -> None:
    confusion = {"shut": {"shut": 3, "hot": 1}, "hot": {"undetermined": 2, "no incident": 5}}
    bins = reliability([(0.9, True)] * 3 + [(0.42, False)] * 2)
    assert bins == [(0.42, 0.0, 2), (0.9, 1.0, 3)]
    row = {**Score().report(), "top1": 0.5, "ece": 0.1, "confusion": confusion, "reliability": bins}
    row["answered"] = 5
    svg = draw([{"name": "a <rig>", "rules": {"onset": row, "incident": {}}}])
    root = ET.fromstring(svg)  # noqa: S314 - our own text
    texts = [one.text for one in root.iter() if one.tag.endswith("text")]
    assert {"3", "1", "2", "5"} <= set(texts)
    assert any("a <rig>" in (text or "") for text in texts)
    radii = [float(one.get("r", "0")) for one in root.iter() if one.tag.endswith("circle")]
    assert len(radii) == 2
    assert all(math.isfinite(r) and r > 0 for r in radii)


def test_white_noise_and_a_wanderer_scatter_alike_in_units_of_their_own_noise(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(8)
    white = rng.normal(size=(1500, 3))
    wander = np.cumsum(rng.normal(size=1500)) * 0.2 + rng.normal(size=1500)
    (tmp_path / "data").mkdir()
    (tmp_path / "labels.csv").write_text("file,start_row,end_row,fault,severity,equipment\n")
    lines = ["time,a,b,c,d"]
    for at, row in enumerate(np.column_stack((white, wander)).tolist()):
        lines.append(",".join(str(cell) for cell in (1.7e9 + at, *row)))
    (tmp_path / "data" / "one.csv").write_text("\n".join(lines) + "\n")
    (dataset,) = find_datasets(tmp_path)
    noise = noise_of(dataset, 400)
    report = noise.report()
    assert report["looks"] > 10
    assert report["signals"] == 4
    apart = {
        name: np.median([np.abs(row[name]) for row in noise.rows], axis=0) for name in ("a", "d")
    }
    (sigma_a, z_a), (sigma_d, z_d) = apart["a"], apart["d"]
    assert sigma_d > 2 * sigma_a or sigma_a > 2 * sigma_d
    assert 0.3 < z_a / z_d < 3.0
    assert 0.4 < report["z_quantiles"][0] < 1.8
