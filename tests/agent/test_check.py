"""``edge-agent check`` says what is well, what is not, and what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from brokers import Mosquitto, free_port
from plant import REPOSITORY, Client, write_settings
from typer.testing import CliRunner

from edge_agent.cli import app
from edge_agent.preflight import device, files
from edge_agent.preflight.line import Line, Mark

Found = dict[str, list[dict[str, Any]]]


def check(config: Path, *options: str) -> tuple[int, Found]:
    words = ["check", "--config", str(config), "--json", "--quick", *options]
    done = CliRunner().invoke(app, words)
    # In this process nobody has sent the log elsewhere: its lines may stand before the report.
    report = next(line for line in done.stdout.splitlines() if line.startswith('{"'))
    document: dict[str, Any] = json.loads(report)
    found: Found = {}
    for line in document["lines"]:
        found.setdefault(line["check"], []).append(line)
    return done.exit_code, found


def marks(found: Found) -> dict[str, str]:
    """The worst mark of each check."""
    order = ["ok", "warning", "error"]
    return {
        name: max((line["mark"] for line in lines), key=order.index)
        for name, lines in found.items()
    }


def test_a_ready_gateway_is_told_so(broker: Mosquitto, tmp_path: Path) -> None:
    config = write_settings(tmp_path, broker.port)
    code, found = check(config)
    assert code == 0
    assert marks(found) == {
        "settings": "ok",
        "cards": "ok",
        "remote settings": "warning",
        "broker": "ok",
        "login": "ok",
        "rights": "ok",
        "telemetry": "warning",
        "clock": "ok",
        "disk": "ok",
        "sensors": "ok",
        "budgets": "ok",
        "model": "ok",
        "memory plan": "ok",
    }
    assert check(config, "--warnings-as-errors")[0] == 1


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
    config.chmod(0o666)
    code, found = check(config)
    assert code == 1
    worst = marks(found)
    for name in ("settings", "cards", "secrets", "broker", "budgets"):
        assert worst[name] == "error", name
    assert worst["model"] == "warning"
    for lines in found.values():
        assert all(line["remedy"] for line in lines if line["mark"] != "ok")
    assert "chmod 600" in found["secrets"][0]["remedy"]
    assert "secret" not in json.dumps(found).replace("secrets", "")


def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    config = write_settings(tmp_path, 1883, mqtt={"host": "no-such-host.invalid"})
    _, found = check(config)
    assert "the name is not known" in found["broker"][0]["text"]
    assert "login" not in found


def test_pushed_cards_count(broker: Mosquitto, tmp_path: Path) -> None:
    card = {"equipment": "press-*", "title": "A press", "description": "Presses."}
    pushed = {"cards": str(tmp_path / "none"), "pushed_cards": {"press": card}}
    _, found = check(write_settings(tmp_path, broker.port, diagnose=pushed))
    assert "1 equipment cards" in found["cards"][0]["text"]
    assert "1 of them pushed" in found["cards"][0]["text"]


def test_a_missing_right_is_named(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("gw1:pass\n")
    passwords.chmod(0o600)
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, capture_output=True)
    rules = tmp_path / "acl"
    shipped = (REPOSITORY / "configs" / "broker" / "acl.example").read_text()
    rules.write_text(shipped.replace("pattern write edge/%u/diagnosis/+\n", ""))
    lines = [f"password_file {passwords}", f"acl_file {rules}", "allow_anonymous false"]
    secret = tmp_path / "secret"
    secret.write_text("pass\n")
    secret.chmod(0o600)
    mqtt = {"username": "gw1", "password_file": str(secret)}
    with Mosquitto(lines) as broker:
        config = write_settings(tmp_path, broker.port, mqtt=mqtt)
        _, found = check(config)
        wrong = [line["text"] for line in found["rights"] if line["mark"] == "error"]
        assert wrong == ["we may not publish to edge/gw1/diagnosis/edge-agent-check"]
        rules.write_text(shipped)
        broker.restart()
        assert marks(check(config)[1])["rights"] == "ok"
        secret.write_text("wrong\n")
        _, found = check(config)
        assert "refuses us" in found["login"][0]["text"]


def test_a_visit_leaves_the_agents_session_alone(broker: Mosquitto, tmp_path: Path) -> None:
    config = write_settings(tmp_path, broker.port)
    with Client(broker.port, "edge/#") as client:
        check(config)
        assert client.on("edge/gw1/status") == []
        assert {one.payload for one in client.heard} == {b""}
        assert not any(one.retained for one in client.heard)
    assert "edge-agent-gw1-check" in broker.log


def test_telemetry_of_another_clock_is_told(broker: Mosquitto, tmp_path: Path) -> None:
    config = write_settings(tmp_path, broker.port)
    with Client(broker.port) as client:
        for _ in range(2):  # before the visit and while it listens: whenever it comes, it is heard
            client.stream("pump-1", [{"flow": 1.0}], start=1.7e9)
        running = subprocess.Popen(
            [sys.executable, "-m", "edge_agent", "check", "-c", str(config), "--json", "--quick"],
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
        )
        while running.poll() is None:
            client.stream("pump-1", [{"flow": 1.0}] * 10, start=1.7e9)
        assert running.stdout is not None
        document = json.loads(running.stdout.read())
        running.stdout.close()
    clocks = [line for line in document["lines"] if line["check"] == "clock"]
    assert clocks[0]["mark"] == "error"
    assert "behind our clock" in clocks[0]["text"]


def test_another_authority_does_not_count(tmp_path: Path) -> None:
    """The pin: where ``mqtt.tls.ca`` is set, it alone may vouch for the broker."""
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    certificate, key = theirs.issue("localhost")
    lines = [f"cafile {theirs.ca}", f"certfile {certificate}", f"keyfile {key}"]
    with Mosquitto(lines) as broker:
        mqtt = {"host": "localhost", "tls": {"enabled": True, "ca": str(ours.ca)}}
        _, found = check(write_settings(tmp_path, broker.port, mqtt=mqtt))
        assert "certificate is refused" in found["broker"][0]["text"]
        mqtt["tls"] = {"enabled": True, "ca": str(theirs.ca), "minimum_version": "1.3"}
        _, found = check(write_settings(tmp_path, broker.port, mqtt=mqtt))
        assert marks(found)["login"] == "ok"
        # Thirty days are left, and the broker is to be told in time.
        assert marks(found)["broker"] == "warning"
        assert "TLSv1.3" in found["broker"][0]["text"]


@pytest.mark.parametrize(
    ("text", "mark"),
    [("0x01 0x02", Mark.OK), ("0x09 0x01", Mark.WARNING), ("0x0b 0x01", Mark.ERROR)],
)
def test_worn_flash_is_told(tmp_path: Path, text: str, mark: Mark) -> None:
    number = tmp_path.stat().st_dev
    block = tmp_path / "sys/dev/block" / f"{number >> 8 & 0xFFF}:{number & 0xFF}"
    (block / "device").mkdir(parents=True)
    (block / "device" / "life_time").write_text(text)
    found: list[Line] = list(device._flash(tmp_path, tmp_path))
    assert [line.mark for line in found] == [mark]


@pytest.mark.model
def test_the_model_answers_one_word(broker: Mosquitto, tmp_path: Path) -> None:
    config = write_settings(tmp_path, broker.port)
    done = CliRunner().invoke(app, ["check", "--config", str(config)])
    assert done.exit_code == 0
    for words in ("answers", "what to do", "smoke run", "tokens/s"):
        assert words in done.stdout


@pytest.mark.parametrize(
    ("mode", "mark"), [(0o400, "ok"), (0o440, "ok"), (0o444, "error")], ids=["0400", "0440", "0444"]
)
def test_a_credential_granted_by_an_access_list_is_private(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, mark: str
) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "password").write_text("hush\n")
    (folder / "password").chmod(mode)
    mqtt = {"username": "gw1", "password_file": str(folder / "password")}
    config = write_settings(tmp_path, broker.port, mqtt=mqtt)
    monkeypatch.setattr(files, "CREDENTIALS", folder)
    assert marks(check(config)[1])["secrets"] == mark
