"""``edge-agent run``: the daemon."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import structlog
import typer

M_ARENA_MAX = -8
"""Of glibc's malloc.h."""

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", help="Settings file.", envvar="EDGE_AGENT_CONFIG"),
]


def run(config: ConfigOption = Path("/etc/edge-agent/edge-agent.toml")) -> None:
    """Run the agent until SIGTERM or SIGINT; SIGHUP reads the settings file again.

    Exit codes: 0 stopped on request, 1 an internal failure (systemd restarts it), 78 the settings
    are wrong.
    """
    from edge_agent.agent import Agent
    from edge_agent.config import load_settings
    from edge_agent.life import Ending
    from edge_agent.logs import configure_logs

    _share_arenas()
    settings = load_settings(config)
    configure_logs(settings.log)
    stop = threading.Event()
    reload = threading.Event()
    _handle_signals(stop, reload)
    ending = Ending.RESTART
    while ending is Ending.RESTART:
        reload.clear()
        with Agent.from_file(config) as agent:
            ending = agent.run(stop, reload)
    raise typer.Exit(0 if ending is Ending.STOPPED else 1)


def _share_arenas() -> None:
    """Let all threads allocate from two arenas. By default glibc gives each thread its own, and
    the pages of those that ended stay with us: settings that are read again made us grow."""
    try:
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)
    except (AttributeError, OSError):
        structlog.get_logger(__name__).debug("no_mallopt")


def _handle_signals(stop: threading.Event, reload: threading.Event) -> None:
    """The first SIGTERM or SIGINT drains, the second ends at once; handlers only set events."""

    def on_stop(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    def on_reload(_number: int, _frame: FrameType | None) -> None:
        reload.set()

    signal.signal(signal.SIGTERM, on_stop)
    signal.signal(signal.SIGINT, on_stop)
    signal.signal(signal.SIGHUP, on_reload)
    structlog.get_logger(__name__).debug("signals_ready")
