"""What ``edge-agent status`` and ``edge-agent top`` both show of a health report. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from edge_agent.domain.level import Level

STYLES = {
    Level.FULL: "bold green",
    Level.ECO: "green",
    Level.SHORT: "yellow",
    Level.RULES_ONLY: "bold yellow",
    Level.PAUSED: "bold red",
}

Report = Mapping[str, Any]


def part(report: Report, name: str) -> Report:
    """A section of the report, empty where it is missing."""
    found = report.get(name)
    return found if isinstance(found, Mapping) else {}


def level_and_reason(report: Report) -> Text:
    """The governor's level in its colour, and why it is that."""
    governor = part(report, "governor")
    level = str(governor.get("level", "?"))
    style = STYLES[Level(level)] if level in list(Level) else "dim"
    return Text.assemble((level, style), f"  {governor.get('reason', '')}")


def machines_by_state(report: Report) -> dict[str, int]:
    """State → number of machines in it; ``?`` where a machine tells none."""
    counts: dict[str, int] = {}
    for one in part(report, "equipment").values():
        state = str(one.get("state", "?")) if isinstance(one, Mapping) else "?"
        counts[state] = counts.get(state, 0) + 1
    return counts


def within(value: float | None, most: float | None, unit: str, digits: int = 1) -> str:
    """A value against its budget: ``3.1 of 4.0 W``."""
    if value is None:
        return "not known"
    if most is None:
        return f"{value:.{digits}f} {unit}, no budget"
    return f"{value:.{digits}f} of {most:.{digits}f} {unit}"


def duration(seconds: float | None) -> str:
    """``3 h 20 min``; ``?`` where it is not known."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
