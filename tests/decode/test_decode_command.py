"""``edge-agent decode``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_agent.cli import app


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["decode", *arguments])
    return result.exit_code, result.output


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "agent.toml"
    path.write_text(
        '[[telemetry.sources]]\ntopic = "plant/{equipment}/{signal}"\nformat = "plain"\n'
        '[[telemetry.sources]]\ntopic = "rows/{equipment}"\ntime = "t"\n'
    )
    return str(path)


def test_shows_the_readings_and_their_source(config: str) -> None:
    code, output = run("plant/pump/temp", "23,5 °C", "-c", config, "--json")
    report = json.loads(output)
    assert code == 0
    assert report["source"] == {"number": 1, "topic": "plant/{equipment}/{signal}"}
    assert [(one["signal"], one["value"]) for one in report["readings"]] == [("temp", 23.5)]


def test_says_which_rule_failed_where(config: str) -> None:
    code, output = run("rows/pump", '{"t": "noon", "flow": 1}', "-c", config)
    assert code == 1
    assert "source 2: rows/{equipment}" in output
    assert "'noon' does not read as iso8601" in output
    code, output = run("other/pump", "1", "-c", config)
    assert code == 1
    assert "no telemetry.sources entry" in output


def test_reads_a_file_of_bytes(config: str, tmp_path: Path) -> None:
    path = tmp_path / "payload"
    path.write_bytes(b'{"flow": NaN, "temp": 2, "mode": "auto"}')
    code, output = run("rows/pump", f"@{path}", "-c", config, "--json")
    report = json.loads(output)
    assert code == 0
    assert [one["quality"] for one in report["readings"]] == ["out_of_range", "good"]
    assert report["left_out"] == {"skipped": 1}
    assert "'mode' is no number but" in report["notes"][0]
    code, output = run("rows/pump", f"@{path}.absent", "-c", config)
    assert code == 2


def test_says_that_it_took_the_time_of_arrival_and_what_looks_like_a_time(config: str) -> None:
    code, output = run("plant/pump/oil", '{"ts": 1763900000, "t": 2}', "--json")
    assert code == 1  # no source of the defaults
    code, output = run("plant/press-3/telemetry", '{"ts": 1763900000, "bar": 2}', "--json")
    first, second = json.loads(output)["notes"]
    assert code == 0
    assert first.startswith('nothing at time = "timestamp"')
    assert 'set time = "ts", time_format = "' in second
    code, output = run(
        "plant/press-3/telemetry", '{"timestamp": "2026-11-23T06:00:00Z", "bar": 2}', "--json"
    )
    assert json.loads(output)["notes"] == []


def test_says_what_would_read_a_number_in_a_string() -> None:
    payload = '{"mode": "auto", "oil": {"temp": "23,5", "bar": 2}}'
    code, output = run("plant/press-3/telemetry", payload, "--json")
    report = json.loads(output)
    assert code == 0
    assert report["left_out"] == {"skipped": 2}
    assert report["notes"][1].endswith("numbers_in_strings = true reads it")
