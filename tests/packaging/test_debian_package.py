"""The package in a fresh Debian 12: installed and run as docs/install.md says, upgraded, purged."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from brokers import wait_until
from debianroot import DebianRoot
from plant import REPOSITORY

from edge_agent.domain.diagnosis import Diagnosis

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="a root file system needs root; CI has it"),
]
BUILD = REPOSITORY / "scripts" / "build_deb"
STATE = "var/lib/private/edge-agent"
SOCKET = "/run/edge-agent-inference/inference.sock"


def build(folder: Path, *options: str) -> Path:
    """A package of what is installed here; llama.cpp isn't compiled again."""
    command = [str(BUILD), "--from-venv", sys.prefix, "--output", str(folder), *options]
    environment = {**os.environ, "DEB_LEVEL": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


def newer(package: Path, folder: Path) -> Path:
    """The same package as version 9.0, with another text in a settings file."""
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(tree)], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: .*$", "Version: 9.0", control.read_text()))
    with (tree / "etc" / "edge-agent" / "equipment" / "library" / "README.md").open("a") as card:
        card.write("\nOf version 9.0.\n")
    goal = folder / "edge-agent_9.0_amd64.deb"
    subprocess.run(["dpkg-deb", "-Zzstd", "-z1", "--build", str(tree), str(goal)], check=True)
    shutil.rmtree(tree)
    return goal


def commands_of_the_document() -> str:
    """Every line of the blocks marked ``sh`` in docs/install.md, in order."""
    text = (REPOSITORY / "docs" / "install.md").read_text()
    return "\n".join(re.findall(r"(?ms)^```sh\n(.*?)^```$", text))


def incidents(root: DebianRoot) -> list[object]:
    """What its database remembers."""
    path = root.path / STATE / "edge-agent.db"
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT incident_id FROM incidents").fetchall()


def settle(root: DebianRoot, agent: str) -> None:
    """The agent runs and has reached the broker."""
    root.run("systemctl is-active edge-agent")

    def online() -> bool:
        # What is retained may still be the farewell of the run before.
        return '"online"' in root.run(f"mosquitto_sub -t edge/{agent}/status -C 1 -W 20")

    wait_until(online, 90, f"{agent} online")


LOCKED_BROKER = """
mkdir -p /run/locked
mosquitto_passwd -b -c /run/locked/users press-hall hush
printf '%s\\n' 'listener 1884 127.0.0.1' 'allow_anonymous false' 'user root' \\
    'password_file /run/locked/users' > /run/locked/mosquitto.conf
systemd-run --quiet --unit locked-broker mosquitto -c /run/locked/mosquitto.conf
"""
DROP_IN = """
[Service]
LoadCredential=mqtt-password:/etc/edge-agent/secrets/mqtt-password
"""
CREDENTIAL = "/run/credentials/edge-agent.service/mqtt-password"


def a_credential_logs_in(root: DebianRoot) -> None:
    """The agent's user may not read the secret; systemd hands it over. Leaves all as it was."""
    settings = root.path / "etc" / "edge-agent" / "edge-agent.toml"
    secret = settings.parent / "secrets" / "mqtt-password"
    before = settings.read_text()
    login = f'[mqtt]\nport = 1884\nusername = "press-hall"\npassword_file = "{CREDENTIAL}"\n'
    settings.write_text(before.replace("[mqtt]\n", login))
    secret.write_text("hush\n")
    secret.chmod(0o600)
    root.run(LOCKED_BROKER)

    def line() -> dict[str, str]:
        lines = json.loads(root.run("edge-agent check --json || true"))["lines"]
        found: dict[str, str] = next(one for one in lines if one["check"] == "secrets")
        return found

    # Forgotten: said, with what to do.
    root.run("systemctl restart edge-agent")
    assert (line()["mark"], "LoadCredential=" in line()["remedy"]) == ("warning", True)
    folder = "/run/systemd/system/edge-agent.service.d"
    root.run(f"mkdir -p {folder}; printf '{DROP_IN}' > {folder}/credential.conf")
    root.run("systemctl daemon-reload; systemctl restart edge-agent")
    heard = "mosquitto_sub -p 1884 -u press-hall -P hush -t edge/press-hall/status -C 1 -W 60"
    assert '"online"' in root.run(heard)
    assert line()["mark"] == "ok", line()
    owner, mode = root.run(f"stat -c '%u %a' {CREDENTIAL}").split()
    assert owner != "0"
    assert mode == "400"
    settings.write_text(before)
    secret.unlink()
    root.run(f"rm -r {folder}; systemctl daemon-reload; systemctl restart edge-agent")
    settle(root, "press-hall")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DebianRoot]:
    with DebianRoot(tmp_path_factory.mktemp("debian") / "root") as booted:
        yield booted


def test_install_run_upgrade_purge(root: DebianRoot, tmp_path: Path) -> None:
    before = root.files()
    first = build(tmp_path)
    shutil.copy(first, root.path / "root")
    root.run("! command -v gcc && ! command -v cc && ! command -v pip")

    # Installed and run to the letter of the document, under systemd in the unit's whole sandbox.
    said = root.run("cd /root\n" + commands_of_the_document())
    shown = (root.path / "root" / "diagnosis.json").read_text()
    diagnosis = Diagnosis.model_validate_json(shown)
    assert (diagnosis.source, diagnosis.agent_id) == ("model", "gateway")
    assert diagnosis.fault is not None
    assert diagnosis.fault.id == "outlet_valve_closing"
    assert shown.strip() in said
    drop_in = root.path / "etc/systemd/system/edge-agent.service.d/50-budgets.conf"
    assert "MemoryMax=" in drop_in.read_text()
    assert (root.path / "etc/edge-agent/secrets").stat().st_mode & 0o777 == 0o700
    assert incidents(root)

    # The demonstration needs nothing that only a checkout has.
    shown = root.run("edge-agent demo --json --timeout 240 2>/dev/null")
    assert Diagnosis.model_validate_json(shown).equipment == "simulated-pump"

    # The worker as a unit of its own answers as well, and sees nothing but the models.
    settings = root.path / "etc" / "edge-agent" / "edge-agent.toml"
    text = settings.read_text().replace('#id = "gateway"', 'id = "press-hall"')
    settings.write_text(text.replace("[inference]\n", f'[inference]\nsocket = "{SOCKET}"\n'))
    root.run("systemctl enable --now edge-agent-inference; systemctl restart edge-agent")
    settle(root, "press-hall")
    lines = json.loads(root.run("edge-agent check --json || true"))["lines"]
    smoke = next(line for line in lines if line["check"] == "smoke run")
    assert smoke["mark"] == "ok", smoke
    inside = "nsenter -m -t $(systemctl show -p MainPID --value edge-agent-inference) ls"
    assert root.run(f"{inside} /var/lib /etc/edge-agent/secrets").split() == [
        "/etc/edge-agent/secrets:",
        "/var/lib:",
        "edge-agent",
    ]
    assert root.run(f"{inside} /var/lib/edge-agent").split() == ["models"]

    a_credential_logs_in(root)

    # Upgraded: what was set and what was learned stay.
    known = incidents(root)
    shutil.copy(newer(first, tmp_path), root.path / "root")
    root.run("apt-get install --yes /root/edge-agent_9.0_amd64.deb")
    settle(root, "press-hall")
    assert 'id = "press-hall"' in settings.read_text()
    assert "Of version 9.0" in (settings.parent / "equipment/library/README.md").read_text()
    assert incidents(root) == known

    # Removed, and purged: nothing stays.
    root.run("apt-get remove --yes edge-agent")
    assert not (root.path / "opt" / "edge-agent").exists()
    assert incidents(root) == known
    root.run("apt-get purge --yes edge-agent")
    assert sorted(root.files() - before) == []


def test_another_machines_package_needs_a_cross_compiler(tmp_path: Path) -> None:
    here = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout.strip()
    other, package = {
        "amd64": ("arm64", "g++-aarch64-linux-gnu"),
        "arm64": ("amd64", "g++-x86-64-linux-gnu"),
    }[here]
    programs = tmp_path / "bin"  # all of this machine's, without compilers for another one
    programs.mkdir()
    for program in Path("/usr/bin").iterdir():
        if "-linux-gnu-" not in program.name:
            (programs / program.name).symlink_to(program)
    command = [str(BUILD), "--arch", other, "--wheels", str(tmp_path), "--output", str(tmp_path)]
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path),
        "PATH": str(programs),
        "PYTHON": sys.executable,
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert f"apt-get install {package}" in done.stderr
