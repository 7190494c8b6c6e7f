"""``edge-agent check`` says what is well, what is not, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from brokers import Mosquitto, free_port
from plant import write_settings
from typer.testing import CliRunner

from edge_agent.cli import app


def check(config: Path, *options: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(app, ["check", "--config", str(config), "--json", *options])
    document: dict[str, Any] = json.loads(done.stdout)
    return done.exit_code, {line["check"]: line for line in document["lines"]}


def test_a_ready_gateway_is_told_so(broker: Mosquitto, tmp_path: Path) -> None:
    code, lines = check(write_settings(tmp_path, broker.port))
    assert code == 0
    assert {lines[name]["mark"] for name in ("cards", "broker", "state", "budgets", "model")} == {
        "ok"
    }
    assert lines["remote settings"]["mark"] == "warning"
    assert check(write_settings(tmp_path, broker.port), "--warnings-as-errors")[0] == 1


def test_each_trouble_is_named_with_its_remedy(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret")
    password.chmod(0o644)
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "a.toml").write_text("equipment = 3")
    config = write_settings(
        tmp_path,
        free_port(),
        mqtt={"username": "me", "password_file": str(password)},
        diagnose={"cards": str(tmp_path / "cards")},
        inference={"model": str(tmp_path / "none.gguf")},
        govern={"power_watts": 1.0, "idle_watts": 5.0},
    )
    code, lines = check(config)
    assert code == 1
    for name, mark in (("cards", "error"), ("secrets", "error"), ("broker", "error")):
        assert lines[name]["mark"] == mark
        assert lines[name]["remedy"]
    assert "chmod 600" in lines["secrets"]["remedy"]
    assert "secret" not in json.dumps(lines).replace("secrets", "")
    assert lines["model"]["mark"] == "warning"
    assert lines["budgets"]["mark"] == "error"


def test_the_table_is_for_people(broker: Mosquitto, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["check", "--config", str(write_settings(tmp_path, broker.port))]
    )
    assert done.exit_code == 0
    assert "answers" in done.stdout
    assert "what to do" in done.stdout
