"""What a roll-out needs of the daemon: a durable memory, and the things it may do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.config.settings import Settings


@dataclass(frozen=True, slots=True)
class Memory:
    """Where the state is kept: ``save`` replaces the whole document durably and atomically."""

    load: Callable[[], bytes | None]
    save: Callable[[bytes], None]


def _nobody(_: dict[str, Any]) -> None:
    """Nobody wants to hear of changes."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What the roll-out does to the daemon, and asks of it."""

    validate: Callable[[Mapping[str, Any]], Settings]
    """A document as settings, paths resolved, cards and anchors found. Raises ``BadConfig``."""
    apply: Callable[[Settings], None]
    """Put the settings into effect while running, all or nothing. ``EdgeAgentError`` and
    ``OSError`` mean that it could not be done."""
    restart: Callable[[str], None]
    """Ask for an orderly restart of the daemon, saying why. May return."""
    report: Callable[[dict[str, Any]], None] = _nobody
    """Called after each change with ``reported()``."""
    readings: Callable[[], int] = lambda: 0
    """Readings decoded since the daemon was built; where they came before, they must go on."""
    no_room: Callable[[Settings], str | None] = lambda _: None
    """Why the memory budget of the settings holds none of their models; None where one fits."""
    notes: Callable[[Settings], list[str]] = lambda _: []
    """What a person should know of settings that are valid and in effect."""
    clock_trusted: Callable[[], bool] = lambda: True
