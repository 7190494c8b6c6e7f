"""``edge-agent check``: everything that can be known before the daemon runs, one line each.

Every check is a generator of lines that say what is well, what is not, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterator

from edge_agent.preflight.broker import broker
from edge_agent.preflight.device import budgets, clock, disk, sensors
from edge_agent.preflight.effective import subject
from edge_agent.preflight.files import cards, remote, secrets, settings_file
from edge_agent.preflight.line import Check, Line, Mark, Subject
from edge_agent.preflight.model import model, smoke_run

CHECKS: tuple[Check, ...] = (
    settings_file,
    cards,
    secrets,
    remote,
    broker,
    clock,
    disk,
    sensors,
    budgets,
    model,
)


def examine(about: Subject, *, run_model: bool = True) -> Iterator[Line]:
    """All checks in order; the smoke run of the model last."""
    for check in CHECKS:
        yield from check(about)
    if run_model:
        yield from smoke_run(about)


__all__ = ["CHECKS", "Check", "Line", "Mark", "Subject", "examine", "subject"]
