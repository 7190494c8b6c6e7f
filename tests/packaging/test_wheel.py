"""The pure part as a wheel: it has all its files, and runs in an environment of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from plant import REPOSITORY

from edge_agent import __version__


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools would leave its own things beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "edge_agent", source / "edge_agent", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", str(source), "-w", str(folder)]
    subprocess.run(command, check=True)
    return next(folder.glob("edge_agent-*-py3-none-any.whl"))


def test_the_wheel_holds_every_file(wheel: Path) -> None:
    package = REPOSITORY / "edge_agent"
    kinds = {".py", ".sql", ".json", ".toml", ".proto", ".typed"}
    wanted = {
        str(path.relative_to(REPOSITORY))
        for path in package.rglob("*")
        if path.suffix in kinds or path.name == "py.typed"
    }
    with zipfile.ZipFile(wheel) as archive:
        assert wanted - set(archive.namelist()) == set()


def test_it_runs_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    """Beside the packages that are installed here: fetching them again would show nothing."""
    builder = venv.EnvBuilder(with_pip=False, symlinks=True)
    builder.create(tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    target = next((tmp_path / "env" / "lib").glob("python*")) / "site-packages"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*command, "--no-deps", "--no-index", str(wheel)], check=True)
    here = [path for path in sys.path if path.endswith("site-packages")]
    (target / "beside.pth").write_text("\n".join(here) + "\n")
    program = tmp_path / "env" / "bin" / "edge-agent"

    def said(*words: str) -> str:
        return subprocess.run(
            [str(program), *words],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        ).stdout

    assert said("config", "reference") == (REPOSITORY / "configs" / "edge-agent.toml").read_text()
    assert said("--version") == f"edge-agent {__version__}\n"
