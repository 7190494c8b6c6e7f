"""scripts/install: nothing to do is quick and silent; what is missing is said with its remedy."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("bash", "cat", "cut", "dirname", "flock", "id", "mkdir", "nproc", "awk", "sha256sum")
"""Programs of every Debian-like machine."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the script and lock files, and nothing installed."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "install", tmp_path / "scripts" / "install")
    for name in ("requirements.lock", "requirements-model.lock", "pyproject.toml"):
        (tmp_path / name).write_text(f"# {name}\n", encoding="utf-8")
    return tmp_path


def install(
    checkout: Path, *options: str, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": path or "/usr/local/bin:/usr/bin:/bin"}
    return subprocess.run(
        [str(checkout / "scripts" / "install"), *options],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def bare_machine(tmp_path: Path, *programs: str) -> str:
    """A PATH with the usual programs and ``programs``, and no apt-get."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in (*NEEDED, *programs):
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return str(folder)


def test_nothing_to_do_is_silent(checkout: Path) -> None:
    binaries = checkout / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(sys.executable)
    content = b"".join(
        (checkout / n).read_bytes()
        for n in ("requirements.lock", "requirements-model.lock", "pyproject.toml")
    )
    stamp = checkout / ".venv" / ".installed"
    stamp.write_text(f"run {hashlib.sha256(content).hexdigest()}\n", encoding="utf-8")
    done = install(checkout)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_changed_lock_file_installs_again(checkout: Path, tmp_path: Path) -> None:
    binaries = checkout / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(sys.executable)
    (checkout / ".venv" / ".installed").write_text("run 0123\n", encoding="utf-8")
    done = install(checkout, path=bare_machine(tmp_path))
    assert done.returncode == 1
    assert "needs Python 3.11" in done.stderr


def test_a_machine_without_python_is_told_what_to_install(checkout: Path, tmp_path: Path) -> None:
    done = install(checkout, path=bare_machine(tmp_path))
    assert done.returncode == 1
    assert "sudo apt-get install python3-venv" in done.stderr


def test_a_machine_without_compiler_is_told_what_to_install(checkout: Path, tmp_path: Path) -> None:
    path = bare_machine(tmp_path)
    # A bare link would lose its prefix: a venv's python finds its library by its own place.
    (Path(path) / "python3").write_text(
        f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8"
    )
    (Path(path) / "python3").chmod(0o755)
    (Path(path) / "sh").symlink_to(shutil.which("sh") or "/bin/sh")
    done = install(checkout, path=path)
    assert done.returncode == 1
    assert "needs a C++ compiler" in done.stderr
    assert "sudo apt-get install g++" in done.stderr


def test_an_unknown_option_is_wrong_usage(checkout: Path) -> None:
    done = install(checkout, "--everything")
    assert done.returncode == 2
    assert "usage: scripts/install" in done.stderr


@pytest.mark.parametrize("name", ["install", "demo", "test", "build_deb", "try_deb", "fetch_tools"])
def test_the_scripts_are_clean(name: str) -> None:
    subprocess.run(["shellcheck", str(ROOT / "scripts" / name)], check=True)
