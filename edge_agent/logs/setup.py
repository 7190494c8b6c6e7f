"""Structured logs: for people on a terminal, JSON with priorities for the journal.

Every line of a job carries its ids (``structlog.contextvars``), every JSON line the agent and the
revision of its settings (``bind_everywhere``), and a line that repeats is written less and less
often.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from edge_agent.config.settings import LogSection
from edge_agent.logs.repeats import Repeats

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""syslog(3) priorities, which journald reads from a ``<N>`` prefix of the line."""

_MAX_VALUE = 500
"""Longest value in a log line, characters: nothing that arrives may flood the journal."""
_MAX_TRACE = 8000
"""The same for a traceback, of which the end counts."""

Event = MutableMapping[str, Any]

_everywhere: dict[str, Any] = {}
_repeats = Repeats()
_lock = threading.Lock()


def configure_logs(settings: LogSection) -> None:
    """Set up structlog once for the process, on standard error."""
    for_people = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _without_repeats,
        _bounded,
    ]
    tail: list[Any] = _for_people() if for_people else _for_machines()
    structlog.configure(
        processors=shared + tail,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def bind_everywhere(**ids: object) -> None:
    """Put ``ids`` on every JSON line of the process from now on; None takes one off."""
    with _lock:
        merged = {**_everywhere, **ids}
        _everywhere.clear()
        _everywhere.update({name: value for name, value in merged.items() if value is not None})


def to_journal(environment: Mapping[str, str], descriptor: int = 2) -> bool:
    """Whether what is written to ``descriptor`` goes to journald, as sd_journal_print(3) tells."""
    named = environment.get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return named == f"{found.st_dev}:{found.st_ino}"


def _for_people() -> list[Any]:
    return [
        _printable,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The richer tracebacks show local variables, and those may hold a password.
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]


def _for_machines() -> list[Any]:
    processors: list[Any] = [
        _with_everywhere,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _bounded_trace,
        structlog.processors.JSONRenderer(),
    ]
    return [*processors, _with_priority] if to_journal(os.environ) else processors


def _without_repeats(_logger: object, _method: str, event: Event) -> Event:
    with _lock:
        held_back = _repeats.judge(event, time.monotonic())
    if held_back is None:
        raise structlog.DropEvent
    if held_back:
        event["held_back"] = held_back
    return event


def _with_everywhere(_logger: object, _method: str, event: Event) -> Event:
    return {**_everywhere, **event}


def _bounded(_logger: object, _method: str, event: Event) -> Event:
    for key, value in event.items():
        if isinstance(value, str) and len(value) > _MAX_VALUE:
            event[key] = value[:_MAX_VALUE] + "…"
    return event


def _bounded_trace(_logger: object, _method: str, event: Event) -> Event:
    trace = event.get("exception")
    if isinstance(trace, str) and len(trace) > _MAX_TRACE:
        event["exception"] = "…" + trace[-_MAX_TRACE:]
    return event


def _printable(_logger: object, _method: str, event: Event) -> Event:
    """No text that came from outside may move the cursor or colour the terminal."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = "".join(
                one if one.isprintable() or one == "\n" else f"\\x{ord(one):02x}" for one in value
            )
    return event


def _with_priority(_logger: object, method: str, line: str | bytes) -> str:
    text = line.decode() if isinstance(line, bytes) else line
    return f"<{_PRIORITIES.get(method, 6)}>{text}"
