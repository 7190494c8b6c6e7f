"""The package in a fresh Debian 12: installed and run as docs/install.md says, upgraded, purged."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from debianroot import DebianRoot
from plant import REPOSITORY

from edge_agent.diagnosis import Diagnosis

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="a root file system needs root; CI has it"),
]
BUILD = REPOSITORY / "scripts" / "build_deb"
START = "systemctl start mosquitto; systemctl start edge-agent"
STATE = "var/lib/edge-agent"


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


def test_install_run_upgrade_purge(tmp_path: Path) -> None:
    first = build(tmp_path)
    root = DebianRoot(tmp_path / "root")
    before = root.files()
    shutil.copy(first, root.path / "root")
    root.run("! command -v gcc && ! command -v cc && ! command -v pip")

    # Installed and run to the letter of the document.
    said = root.run("cd /root\n" + commands_of_the_document())
    shown = (root.path / "tmp" / "diagnosis.json").read_text()
    diagnosis = Diagnosis.model_validate_json(shown)
    assert (diagnosis.source, diagnosis.agent_id) == ("model", "gateway")
    assert diagnosis.fault is not None
    assert diagnosis.fault.id == "outlet_valve_closing"
    assert shown.strip() in said
    drop_in = root.path / "etc/systemd/system/edge-agent.service.d/50-budgets.conf"
    assert "MemoryMax=" in drop_in.read_text()
    assert (root.path / "etc/edge-agent/secrets").stat().st_mode & 0o777 == 0o700
    known = incidents(root)
    assert known

    # Upgraded: what was set and what was learned stay.
    settings = root.path / "etc" / "edge-agent" / "edge-agent.toml"
    settings.write_text(settings.read_text().replace('#id = "gateway"', 'id = "press-hall"'))
    shutil.copy(newer(first, tmp_path), root.path / "root")
    root.run("apt-get install --yes /root/edge-agent_9.0_amd64.deb")
    assert 'id = "press-hall"' in settings.read_text()
    assert "Of version 9.0" in (settings.parent / "equipment/library/README.md").read_text()
    assert incidents(root) == known
    hears = "mosquitto_sub -t edge/press-hall/status -C 1 -W 60"
    assert '"online"' in root.run(f"{START}; {hears}")

    # Removed, and purged: nothing stays.
    root.run("apt-get remove --yes edge-agent")
    assert not (root.path / "opt" / "edge-agent").exists()
    assert incidents(root) == known
    root.run("apt-get purge --yes edge-agent")
    left = sorted(root.files() - before)
    assert [name for name in left if "systemd/deb-systemd" not in name] == []


def test_another_machines_package_needs_its_wheel(tmp_path: Path) -> None:
    other = {"amd64": "arm64", "arm64": "amd64"}[
        subprocess.run(
            ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
        ).stdout.strip()
    ]
    command = [str(BUILD), "--arch", other, "--wheels", str(tmp_path), "--output", str(tmp_path)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert "can't be built here" in done.stderr
    assert f"Run scripts/build_deb on a machine with {other}" in done.stderr
