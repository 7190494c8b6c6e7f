"""Where Prometheus finds the metrics: a loopback port, a Unix socket, a textfile.

Imported only where one of them is switched on: the daemon stays small without.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import HTTPServer
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.exposition import MetricsHandler

from edge_agent.config.observe import MetricsSection
from edge_agent.errors import EdgeAgentError
from edge_agent.observe.metrics import HealthCollector

log = structlog.get_logger(__name__)

CALLER_S = 2.0
"""A scraper that sends or reads nothing holds the next one up no longer than this."""
TEXTFILE_S = 15.0


class _Handler(MetricsHandler):
    """``GET /metrics``; nothing else is here."""

    timeout = CALLER_S

    def do_GET(self) -> None:  # noqa: N802 - http.server names it so
        """One scrape."""
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404, "only /metrics is here")
            return
        try:
            super().do_GET()
        except EdgeAgentError as error:
            log.warning("metrics_unavailable", reason=str(error))
            self.send_error(503, "the agent cannot report now")

    def address_string(self) -> str:
        """A Unix socket's caller has no address."""
        return "local"


class _UnixServer(HTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        """HTTPServer asks for a host name, which a Unix socket does not have."""
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", 0


class Exporter:
    """Serves metrics, one scraper at a time. A port that is taken is logged, and the agent runs on.

    ``report``: the health document, live.
    """

    def __init__(self, settings: MetricsSection, report: Callable[[], Mapping[str, Any]]) -> None:
        self._settings = settings
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(HealthCollector(report, settings.max_equipment))
        self._servers: list[HTTPServer] = []
        self._threads: list[threading.Thread] = []
        self._written_at: float | None = None

    def start(self) -> None:
        """Open the port and the socket that the settings name."""
        handler = type("Handler", (_Handler,), {"registry": self._registry})
        port, path = self._settings.port, self._settings.socket
        if port is not None:
            self._open(f"127.0.0.1:{port}", lambda: HTTPServer(("127.0.0.1", port), handler))
        if path is not None:
            self._open(str(path), lambda: _unix_server(path, handler))

    def tick(self, now: float) -> None:
        """Write the textfile when it is due. ``now``: monotonic seconds."""
        path = self._settings.textfile
        if path is None or (self._written_at is not None and now - self._written_at < TEXTFILE_S):
            return
        self._written_at = now
        try:
            write_to_textfile(str(path), self._registry)
            path.chmod(0o644)  # node-exporter is another user
        except (OSError, EdgeAgentError) as error:
            log.warning("metrics_not_written", path=str(path), reason=str(error))

    def close(self) -> None:
        """Close what was opened. The textfile goes: nobody shall take it for the present."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join(CALLER_S + 1)
        for path in (self._settings.socket, self._settings.textfile):
            if path is not None:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def _open(self, where: str, make: Callable[[], HTTPServer]) -> None:
        try:
            server = make()
        except OSError as error:
            log.warning("metrics_not_served", where=where, reason=str(error))
            return
        thread = threading.Thread(
            target=server.serve_forever, args=(0.2,), name="metrics", daemon=True
        )
        thread.start()
        self._servers.append(server)
        self._threads.append(thread)
        log.info("metrics_served", where=where)


def _unix_server(path: Path, handler: type[MetricsHandler]) -> HTTPServer:
    path.unlink(missing_ok=True)
    server = _UnixServer(str(path), handler)  # type: ignore[arg-type]
    path.chmod(0o660)
    return server
