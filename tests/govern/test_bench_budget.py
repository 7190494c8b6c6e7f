"""The benchmark's own parts: the plant, the neighbour, the figures, a short real run."""

from __future__ import annotations

import json
import os
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_agent.bench.budget import BudgetOptions, Outcome, Trace, request, run, schema
from edge_agent.bench.budget_report import picture, report, rolling
from edge_agent.bench.neighbour import Neighbour
from edge_agent.bench.plant import Plant, PlantSample
from edge_agent.cli import app
from edge_agent.config.govern import GovernSection
from edge_agent.domain.level import Allowance, Level
from edge_agent.govern.governor import Governor
from edge_agent.govern.sensors import Sensors


def test_the_plants_energy_is_that_of_the_process(tmp_path: Path) -> None:
    plant = Plant(tmp_path, 3.0, 4.0, os.getpid)
    start, cpu = time.monotonic(), os.times()
    while os.times().user - cpu.user < 0.5:
        sum(range(1000))
    end = time.monotonic() + 2.0
    while not plant.samples or plant.samples[-1].at < end - 1.0:
        time.sleep(0.05)
    plant.stop()
    spent = os.times()
    worked = spent.user - cpu.user + spent.system - cpu.system
    last = plant.samples[-1].at
    # The first step also holds what this process did before the plant looked at it.
    above = plant.joules(start, last) - 3.0 * (last - plant.samples[0].at + 0.25)
    assert above >= 0.8 * 4.0 * 0.5
    assert worked > 0
    sensors = Sensors(GovernSection(sensor_root=tmp_path))
    assert (sensors.sample(0.0).watts.value or 0.0) >= 3.0


def test_the_neighbour_tells_its_latency() -> None:
    with Neighbour() as neighbour:
        time.sleep(0.5)
        figures = neighbour.latency()
    assert 0 < figures["p50"] <= figures["p99"] <= figures["max"]


@pytest.fixture
def outcome(tmp_path: Path) -> Outcome:
    plant = Plant(tmp_path, 3.0, 4.0, lambda: None)
    plant.stop()
    plant.samples = [PlantSample(100.0 + n / 4, 0.25, 3.0 + 6.0 * (n % 2)) for n in range(1, 241)]
    governor = Governor(
        GovernSection(power_watts=6.0), clock=lambda: 1e9, monotonic=lambda: 5.0, state=None
    )
    found = Outcome(BudgetOptions(window_s=20.0), full_joules=20.0, full_seconds=3.0)
    found.plant, found.started, found.ended = plant, 100.0, 160.0
    found.traces = [Trace(float(second), governor.status()) for second in range(1, 60)]
    found.alone_ms = found.beside_ms = {"p50": 0.1, "p99": 1.0, "max": 2.0}
    return found


def test_the_report_has_the_promised_keys(outcome: Outcome) -> None:
    figures = report(outcome)
    assert figures["mean_watts"] == pytest.approx(6.0)
    assert figures["error"] == pytest.approx(0.0)
    assert figures["worst_window_watts"] == pytest.approx(6.0, abs=0.1)
    assert figures["memory_peak_mb"] > 0
    assert {"budget_watts", "throughput_share", "joules_per_diagnosis", "memory_limit_mb"} <= set(
        figures
    )
    assert json.dumps(figures)


def test_the_picture_is_well_formed(outcome: Outcome) -> None:
    tree = ET.fromstring(picture(outcome))  # noqa: S314 - our own text
    assert tree.tag.endswith("svg")
    assert len(rolling(outcome)) > 100


def test_a_short_answer_has_a_short_schema() -> None:
    assert schema(96)["properties"]["explanation"]["maxLength"] < 150
    asked = request(3, Allowance(Level.SHORT, "", max_tokens=96, threads=1, token_gap_s=0.2))
    assert (asked.max_tokens, asked.threads, asked.token_gap_s) == (96, 1, 0.2)


@pytest.mark.model
def test_a_short_real_run() -> None:
    options = BudgetOptions(watts=5.0, seconds=8.0, window_s=10.0, full_speed=1)
    outcome = run(options, lambda _: None)
    figures = report(outcome)
    assert 3.0 <= figures["mean_watts"] < 11.0
    assert 0 < figures["memory_peak_mb"] <= figures["memory_limit_mb"]
    assert figures["full_speed_joules"] > 0
    assert picture(outcome).startswith("<svg")


def test_a_budget_below_idle_power_is_wrong_usage() -> None:
    assert CliRunner().invoke(app, ["bench", "budget", "--watts", "2"]).exit_code == 2
