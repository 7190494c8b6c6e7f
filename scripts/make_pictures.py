#!/usr/bin/env python3
"""Write docs/pictures/{check,status,top}.svg: the commands as they look, beside a real daemon that
watches the simulated pump with a failing bearing. Takes about a minute."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
WIDTH = 100
sys.path.insert(0, str(ROOT))

CELL = 12.2
"""Width of a character in rich's pictures."""
PIECE = re.compile(
    r'<text class="(?P<style>[^"]+)" x="(?P<x>[0-9.]+)" y="(?P<y>[0-9.]+)" textLength="[0-9.]+"'
    r"(?P<clip>[^>]*)>(?P<text>[^<]*)</text>"
)
FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
"""Rich's pictures fetch their font from the internet: a viewer's own does as well."""
PART = re.compile("[─━]{1,4}|[^\\s─━]+(?:\xa0[^\\s─━]+)*")
"""Words that one space parts, or a short piece of a line: a long one would end too early in a font
that is a little narrower."""
SETTINGS = """\
[agent]
id = "press-shop-1"
[mqtt]
host = "localhost"
port = {port}
[diagnose]
cards = "{cards}"
[inference]
models_dir = "models"
[govern]
power_watts = 12.0
memory_mb = 800
[store]
state_dir = "state"
[health]
interval_s = 1.0
"""


def run(config: Path, *arguments: str) -> str:
    """What ``edge-agent`` prints on a colour terminal."""
    environment = {
        **os.environ,
        "FORCE_COLOR": "1",
        "TTY_COMPATIBLE": "1",
        "COLUMNS": str(WIDTH),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "edge_agent", *arguments, "--config", str(config)]
    return subprocess.run(
        command, stdout=subprocess.PIPE, text=True, env=environment, check=False
    ).stdout


def draw(name: str, shown: str) -> None:
    """The output as a picture of a terminal."""
    from rich.console import Console
    from rich.text import Text

    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        console.print(Text(f"$ edge-agent {name}", style="bold"))
        console.print(Text.from_ansi(shown))
    PICTURES.mkdir(exist_ok=True)
    file = name.partition(" ")[0]
    svg = PIECE.sub(_in_columns, console.export_svg(title="edge-agent", unique_id=file))
    svg = FONT.sub("", svg)
    text = "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"
    (PICTURES / f"{file}.svg").write_text(text, encoding="utf-8")


def _in_columns(found: re.Match[str]) -> str:
    """A text cut at its gaps, each part at its own column: viewers differ in what they make of
    spaces, and of a font that is not installed."""
    shown = html.unescape(found["text"])
    parts = []
    for part in PART.finditer(shown.replace(" ", "\xa0")):
        x, width = float(found["x"]) + part.start() * CELL, len(part[0]) * CELL
        text = html.escape(part[0], quote=False).replace("\xa0", "&#160;")
        parts.append(
            f'<text class="{found["style"]}" x="{x:g}" y="{found["y"]}" textLength="{width:g}"'
            f"{found['clip']}>{text}</text>"
        )
    return "".join(parts)


def wait_for_a_diagnosis(folder: Path) -> None:
    """Until the daemon has made one; at most two minutes."""
    from edge_agent.errors import Unavailable
    from edge_agent.statussocket import ask

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            report = ask(folder / "state")
        except Unavailable:
            report = {}
        if report.get("results", {}).get("last"):
            return
        time.sleep(0.5)
    sys.exit("no diagnosis within two minutes")


def main() -> None:
    """Broker, daemon, pump, pictures."""
    from edge_agent.demo.broker import start_broker
    from edge_agent.demo.children import Child
    from edge_agent.demo.daemon import start_daemon

    with tempfile.TemporaryDirectory(prefix="ea-") as name:
        folder = Path(name)
        broker = start_broker(folder)
        config = folder / "edge-agent.toml"
        cards = ROOT / "configs" / "equipment"
        config.write_text(SETTINGS.format(port=broker.endpoint.port, cards=cards))
        ready = run(config, "check").replace(str(cards), "/etc/edge-agent/equipment")
        ready = ready.replace(str(config), "/etc/edge-agent/edge-agent.toml")
        draw("check", ready.replace(str(folder / "state"), "/var/lib/edge-agent"))
        daemon = start_daemon(folder, config)
        play = "simulate --speed 60 --fault bearing_wear --onset 600 --for 1500 --port"
        words = [*play.split(), str(broker.endpoint.port)]
        pump = Child("the pump", [sys.executable, "-m", "edge_agent", *words], folder / "pump.log")
        try:
            wait_for_a_diagnosis(folder)
            draw("status", run(config, "status"))
            draw("top --once", run(config, "top", "--once"))
        finally:
            for child in (pump, daemon, broker.child):
                child.stop()


if __name__ == "__main__":
    main()
