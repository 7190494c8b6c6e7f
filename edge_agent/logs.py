"""Structured logs: for people on a terminal, JSON with priorities for the journal."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from edge_agent.config.settings import LogSection

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""syslog(3) priorities, which journald reads from a ``<N>`` prefix of the line."""

_MAX_VALUE = 500
"""Longest value in a log line, characters: nothing that arrives may flood the journal."""


def configure_logs(settings: LogSection) -> None:
    """Set up structlog once for the process, on standard error."""
    for_people = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _bounded,
    ]
    tail: list[Any] = (
        [
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ]
        if for_people
        else [
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
            _with_priority,
        ]
    )
    structlog.configure(
        processors=shared + tail,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _bounded(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str) and len(value) > _MAX_VALUE:
            event[key] = value[:_MAX_VALUE] + "…"
    return event


def _with_priority(_logger: object, method: str, line: str | bytes) -> str:
    text = line.decode() if isinstance(line, bytes) else line
    return f"<{_PRIORITIES.get(method, 6)}>{text}"
