"""One result of a check, and what a check is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edge_agent.config.settings import Settings
from edge_agent.domain.finding import Record


class Mark(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Line(Record):
    """One result."""

    check: str
    mark: Mark
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined."""

    path: Path
    """The settings file."""
    settings: Settings
    """Those in effect: the file's, with what was pushed over them."""
    origin: str
    """Where they come from, for people."""


Check = Callable[[Subject], Iterator[Line]]


def ok(check: str, text: str) -> Line:
    """All is well."""
    return Line(check=check, mark=Mark.OK, text=text)


def warning(check: str, text: str, remedy: str) -> Line:
    """It works, and somebody should know."""
    return Line(check=check, mark=Mark.WARNING, text=text, remedy=remedy)


def error(check: str, text: str, remedy: str) -> Line:
    """It does not work."""
    return Line(check=check, mark=Mark.ERROR, text=text, remedy=remedy)
