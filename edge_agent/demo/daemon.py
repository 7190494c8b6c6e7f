"""The real daemon, as the demonstration starts it: a settings file and a process."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from edge_agent.config.broker import MqttSection
from edge_agent.config.toml_text import quoted
from edge_agent.demo.children import Child

AGENT_ID = "demo-gateway"


def write_settings(folder: Path, endpoint: MqttSection, card: Path, learn_rows: int) -> Path:
    """An ``edge-agent.toml`` in ``folder`` with the card beside it; returns its path."""
    cards = folder / "equipment"
    cards.mkdir(exist_ok=True)
    shutil.copy(card, cards / card.name)
    state = folder / "state"
    state.mkdir(exist_ok=True)
    settings = f"""\
[agent]
id = {quoted(AGENT_ID)}
shutdown_grace_s = 5.0

[mqtt]
host = {quoted(endpoint.host)}
port = {endpoint.port}

[detect]
learn_rows = {learn_rows}

[diagnose]
cards = {quoted(str(cards))}

[store]
state_dir = {quoted(str(state))}

[health]
interval_s = 5.0
"""
    path = folder / "edge-agent.toml"
    path.write_text(settings, encoding="utf-8")
    return path


def start_daemon(folder: Path, settings: Path) -> Child:
    """``edge-agent run --config …``, its log in ``folder``."""
    command = [sys.executable, "-m", "edge_agent", "run", "--config", str(settings)]
    return Child("the daemon (edge-agent run)", command, folder / "daemon.log")
