"""Every command line in the documentation.

Pages in ``RUN`` are run whole: their ``sh`` blocks in order, in one shell, in an empty folder,
against a real broker, with ``edge-agent`` on the PATH. A block that begins with ``# on …`` belongs
to another host or to systemd; of it, as of every command line on every other page, it is checked
that the command and its options exist.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from brokers import Mosquitto, free_port
from plant import REPOSITORY, Daemon, write_settings

from edge_agent.cli import app

DOCS = REPOSITORY / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), REPOSITORY / "README.md"]
RUN = ("equipment-cards.md", "first-machine.md", "fleet.md")
"""Pages that start their own daemon."""
RUN_BESIDE_A_DAEMON = (
    "architecture.md",
    "commands.md",
    "monitoring.md",
    "sizing.md",
    "troubleshooting.md",
)
"""Pages whose commands look at one that runs."""
ELSEWHERE = re.compile(r"\s*# on ")
BLOCK = re.compile(r"(?ms)^```([a-z]*)\n(.*?)^```")
OURS = re.compile(r"^(?:\$ |sudo )*((?:edge-agent|\./scripts/\S+|scripts/\S+)(?: .*)?)$")
SKIPPED = re.compile(r"\s+#(?: .*)?$")


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, text) of each fenced block."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def shell(page: Path) -> str:
    """The page's blocks that are run, as one script; each block is shown as it begins."""
    runnable = [
        text for language, text in blocks(page) if language == "sh" and not ELSEWHERE.match(text)
    ]
    return "\n".join(f"set -x\n{text}{{ set +x; }} 2>/dev/null" for text in runnable)


def command_lines() -> Iterator[tuple[str, str]]:
    """(page, command line) of ours in any block of any page."""
    for page in PAGES:
        for language, text in blocks(page):
            if language in ("toml", "json", "yaml"):
                continue
            for line in text.replace("\\\n", " ").splitlines():
                found = OURS.match(line.strip())
                if found:
                    yield page.name, SKIPPED.sub("", found[1])


LINES = sorted(set(command_lines()))


def test_there_are_command_lines_to_check() -> None:
    assert len(LINES) > 30
    assert set(RUN) | set(RUN_BESIDE_A_DAEMON) <= {page.name for page in PAGES}


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{p}: {one[:50]}" for p, one in LINES])
def test_the_command_and_its_options_exist(page: str, line: str) -> None:
    words = shlex.split(re.split(r"\s(?:[|>&]|2>|<<)", line)[0])
    if words[0] != "edge-agent":
        script = REPOSITORY / words[0].removeprefix("./")
        assert os.access(script, os.X_OK), f"{page}: {script} is no program"
        return
    command: Any = typer.main.get_command(app)
    rest = words[1:]
    while rest and getattr(command, "commands", None):
        assert rest[0] in command.commands, f"{page}: no command {rest[0]!r} in {line!r}"
        command, rest = command.commands[rest[0]], rest[1:]
    known = {flag for one in command.params for flag in (*one.opts, *one.secondary_opts)}
    known |= {"--help"}
    for word in rest:
        if re.match(r"--?[a-zA-Z]", word):
            assert word.split("=")[0] in known, f"{page}: no option {word!r} in {line!r}"


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which ``edge-agent`` is this one."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "edge-agent"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m edge_agent "$@"\n')
    program.chmod(0o755)
    return f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"


def follow(page: str, folder: Path, path: str, **replaced: int) -> str:
    """Run a page; the ports that it names are replaced by free ones."""
    script = shell(DOCS / page)
    for name, port in replaced.items():
        script = script.replace(name.removeprefix("p"), str(port))
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(REPOSITORY),
        "EDGE_AGENT_MODELS": str(folder / "models"),
        "COLUMNS": "100",
    }
    output = folder / "page.txt"
    with output.open("w") as sink:
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env=environment,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(150)
        finally:
            with contextlib.suppress(ProcessLookupError):  # what runs on in the background
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)
    assert process.returncode == 0, output.read_text()[-6000:]
    return output.read_text()


@pytest.mark.model
@pytest.mark.parametrize("page", RUN)
def test_a_page_can_be_followed(page: str, broker: Mosquitto, tmp_path: Path, path: str) -> None:
    output = follow(page, tmp_path, path, p1883=broker.port)
    assert "Traceback" not in output
    for log in tmp_path.glob("*.log"):
        assert "Traceback" not in log.read_text(), log.name


def test_pages_can_be_followed_beside_a_daemon(
    broker: Mosquitto, tmp_path: Path, path: str
) -> None:
    port = free_port()
    config = write_settings(tmp_path, broker.port, observe={"metrics": {"port": port}})
    with Daemon(config) as daemon:
        subprocess.run(
            ["bash", "-c", "edge-agent status -c edge-agent.toml --wait 60"],
            cwd=tmp_path,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)},
            check=True,
            timeout=60,
            stdout=subprocess.DEVNULL,
        )
        for page in RUN_BESIDE_A_DAEMON:
            output = follow(page, tmp_path, path, p1883=broker.port, p9469=port)
            assert "Traceback" not in output
        assert daemon.terminate() == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"
