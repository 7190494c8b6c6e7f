"""The daemon's process: settings, signals, and the agent in between.

``edge-agent run`` comes here without Typer and Rich, which the command line needs and a process
that runs for months does not: together they are a fifth of its memory.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, ModuleType

DEFAULT = "/etc/edge-agent/edge-agent.toml"
VARIABLE = "EDGE_AGENT_CONFIG"
M_ARENA_MAX = -8
"""glibc's name for it, malloc.h."""
LIBC = ctypes.CDLL(None)
"""The C library; other ones than glibc have neither ``mallopt`` nor ``malloc_trim``."""


def settings_file(arguments: Sequence[str], environment: Mapping[str, str]) -> Path | None:
    """The settings file, where the arguments say ``run`` and nothing else that the command line
    would have to understand; otherwise None."""
    if not arguments or arguments[0] != "run":
        return None
    match arguments[1:]:
        case []:
            return Path(environment.get(VARIABLE) or DEFAULT)
        case ["--config" | "-c", path] if path:
            return Path(path)
        case [option] if option.startswith("--config=") and option != "--config=":
            return Path(option.partition("=")[2])
    return None


class _Asked(ModuleType):
    """Stands where a module was imported, and imports it once something in it is asked for."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def import_structlog_lean() -> None:
    """Have structlog imported without what it brings along for others: Rich, 8 MB to colour a
    traceback, which the journal could not show, and asyncio, 2 MB for its ``await`` methods, which
    find it here if they are ever called."""
    if "structlog" in sys.modules:
        return
    stand_ins: dict[str, ModuleType | None] = {"rich": None, "asyncio": _Asked("asyncio")}
    placed = {name: one for name, one in stand_ins.items() if name not in sys.modules}
    sys.modules.update(placed)  # type: ignore[arg-type]  # an import of None fails
    try:
        import structlog  # noqa: F401 - the import itself is what is wanted
    finally:
        for name in placed:
            del sys.modules[name]


def spare_memory() -> None:
    """One arena for all threads, of which only one runs at a time anyway, and no pool of threads
    for linear algebra on ten signals. Call it before numpy is imported."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if hasattr(LIBC, "mallopt"):
        LIBC.mallopt(M_ARENA_MAX, 1)


def give_memory_back() -> None:
    """Return to the kernel what only starting needed."""
    if hasattr(LIBC, "malloc_trim"):
        LIBC.malloc_trim(0)


def serve(config: Path) -> int:
    """Run the agent until SIGTERM or SIGINT; SIGHUP reads the settings file again.

    The exit code: 0 stopped on request, 1 an internal failure (systemd restarts it), 78 the
    settings are wrong.
    """
    from edge_agent.config.settings import LogSection
    from edge_agent.errors import BadConfig, EdgeAgentError
    from edge_agent.logs.setup import configure_logs

    configure_logs(LogSection(level="warning", format="console"))
    try:
        return _serve(config)
    except EdgeAgentError as error:
        sys.stderr.write(f"edge-agent: {error}\n")
        return 78 if isinstance(error, BadConfig) else 1


def _serve(config: Path) -> int:
    from edge_agent.agent import Agent
    from edge_agent.config import load_settings
    from edge_agent.life import Ending
    from edge_agent.logs.setup import configure_logs

    configure_logs(load_settings(config).log)
    stop = threading.Event()
    reload = threading.Event()
    _handle_signals(stop, reload)
    ending = Ending.RESTART
    while ending is Ending.RESTART:
        reload.clear()
        with Agent.from_file(config) as agent:
            give_memory_back()
            ending = agent.run(stop, reload)
    return 0 if ending is Ending.STOPPED else 1


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
