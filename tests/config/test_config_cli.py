"""``edge-agent config``: what it prints, and how it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from edge_agent.cli.config import as_toml
from edge_agent.config import Settings, load_settings, parse_settings
from edge_agent.errors import BadConfig


def edge_agent(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_agent", "config", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[mqtt]\nprot = "5"\n', ["mqtt.prot: unknown key", "allowed here:", "protocol"]),
        ("[mqtt]\nprot = 1883\n", ["mqtt.prot: unknown key; did you mean port?"]),
        ('[mqtt]\nprotocol = "4"\n', ["mqtt.protocol", "'auto', '5' or '3.1.1'", "found '4'"]),
        ("[mqtt]\nport = 70000\n", ["mqtt.port", "65535", "found 70000"]),
        ("[mqtt\n", ["not valid TOML"]),
        ("[brain]\n", ["brain: unknown key", "detect, diagnose"]),
        ('[agent]\nid = "a/b"\n', ["agent.id", "one level of a topic"]),
    ],
)
def test_a_bad_file_is_exit_78_with_key_found_and_allowed(
    tmp_path: Path, text: str, told: list[str]
) -> None:
    file = tmp_path / "edge-agent.toml"
    file.write_text(text)
    with pytest.raises(BadConfig) as error:
        load_settings(file)
    for part in told:
        assert part in str(error.value)


def test_validate_in_a_process_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "edge-agent.toml"
    file.write_text("[mqtt]\nport = 70000\n")
    plain = edge_agent("validate", file)
    assert plain.returncode == 78
    assert "mqtt.port" in plain.stderr
    answer = edge_agent("validate", file, "--json")
    assert answer.returncode == 78
    assert json.loads(answer.stdout)["errors"][0].startswith(f"{file}: mqtt.port: ")
    file.write_text("[mqtt]\nport = 7000\n")
    assert edge_agent("validate", file).returncode == 0


def test_show_hides_secrets_and_prints_settings_that_read_back(tmp_path: Path) -> None:
    file = tmp_path / "edge-agent.toml"
    file.write_text('[mqtt]\nusername = "plant-7"\npassword_file = "pw"\n')
    answer = edge_agent("show", "--config", file, "--json")
    assert answer.returncode == 0, answer.stderr
    shown = json.loads(answer.stdout)["settings"]
    assert shown["mqtt"]["username"] == "(set)"
    assert "plant-7" not in edge_agent("show", "--config", file).stdout


def test_settings_survive_toml() -> None:
    document = Settings().model_dump(mode="json")
    assert parse_settings(tomllib.loads(as_toml(document)), where="toml") == Settings()


def test_keygen_and_sign_make_what_a_gateway_verifies(tmp_path: Path) -> None:
    from edge_agent.rollout.envelope import open_envelope
    from edge_agent.rollout.signature import read_anchors, verify

    body = tmp_path / "body.json"
    body.write_text('{"agent": "gw-1", "revision": 1, "patch": {}}')
    assert edge_agent("keygen", "fleet", "--out", tmp_path).returncode == 0
    out = tmp_path / "envelope.json"
    signed = edge_agent("sign", body, "--key", tmp_path / "fleet.pem", "--out", out)
    assert signed.returncode == 0, signed.stderr
    anchors = read_anchors(tmp_path / "fleet.toml")
    assert verify(open_envelope(out.read_bytes()), anchors) == "fleet"
    assert edge_agent("keygen", "fleet", "--out", tmp_path).returncode == 78
    assert edge_agent("keygen", "a/b", "--out", tmp_path).returncode == 78
