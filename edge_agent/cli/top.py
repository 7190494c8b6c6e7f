"""``edge-agent top``: a live view of one agent, on its gateway or from afar."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_agent.cli.broker_options import broker_of
from edge_agent.errors import BadConfig, Unavailable

if TYPE_CHECKING:
    from edge_agent.config import Settings
    from edge_agent.streaming import Client

DIAGNOSES_KEPT = 8
FIRST_REPORT_S = 10.0
LARGEST_REPORT = 4_000_000


class Feed:
    """The newest report and diagnoses, from whichever thread they come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._report: dict[str, Any] = {}
        self._at: float | None = None
        self._diagnoses: deque[dict[str, Any]] = deque(maxlen=DIAGNOSES_KEPT)
        self.arrived = threading.Event()

    def deliver(self, topic: str, payload: bytes) -> None:
        """A message of the agent; what is no JSON object is left out."""
        document = read_object(payload)
        if document is None:
            return
        words = topic.split("/")
        with self._lock:
            if "diagnosis" in words[-2:]:
                self._diagnoses.append(document)
                return
            result = document.get("result")
            if words[-1] == "response" and isinstance(result, dict):
                document = result.get("health", {})
            if isinstance(document, dict) and "governor" in document:
                self._report, self._at = document, time.monotonic()
                self.arrived.set()

    def take(self, report: dict[str, Any]) -> None:
        """The report of this moment."""
        with self._lock:
            self._report, self._at = report, time.monotonic()
            self.arrived.set()

    def take_file(self, path: Path) -> None:
        """The report that the agent leaves in its state directory."""
        try:
            document = read_object(path.read_bytes()[:LARGEST_REPORT])
            age = max(0.0, time.time() - path.stat().st_mtime)
        except OSError as error:
            raise Unavailable(
                f"{path}: {error.strerror}; is the agent running, with this state directory?"
            ) from None
        with self._lock:
            if document is not None:
                self._report, self._at = document, time.monotonic() - age
                self.arrived.set()

    def newest(self) -> tuple[dict[str, Any], list[dict[str, Any]], float]:
        """Report, diagnoses oldest first, and the report's age in seconds."""
        with self._lock:
            age = float("inf") if self._at is None else time.monotonic() - self._at
            results = self._report.get("results")
            told = results.get("last") if isinstance(results, dict) else None
            return self._report, list(self._diagnoses) or list(told or ()), age


def read_object(payload: bytes) -> dict[str, Any] | None:
    """A JSON object, or None."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def top(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="Settings file.", envvar="EDGE_AGENT_CONFIG")
    ] = Path("/etc/edge-agent/edge-agent.toml"),
    agent: Annotated[str | None, typer.Option(help="Watch this agent over MQTT instead.")] = None,
    host: Annotated[
        str | None,
        typer.Option(help="At this broker; default: that of --config, with its login and TLS."),
    ] = None,
    port: Annotated[int, typer.Option(help="Port of --host.")] = 1883,
    prefix: Annotated[str, typer.Option(help="Topic prefix, with --host.")] = "edge",
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option(help="Print one screen and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show power against budget, memory, heat, level, queue and the last diagnoses.

    The agent is asked over its local socket (where none answers, its last report is shown with its
    age); with --agent over MQTT, which works from anywhere.
    """
    from edge_agent.config import load_settings
    from edge_agent.statussocket import ask, find

    feed = Feed()
    with ExitStack() as stack:
        if agent is not None:
            line = connect_as(feed, None if host else config, host or "", port)
            root = f"{prefix if host else load_settings(config).agent.topic_prefix}/{agent}"
            look = _ask(stack.enter_context(line), root)
        elif host is not None:
            raise typer.BadParameter("--host needs --agent: the name of the gateway")
        else:
            settings = load_settings(config)
            path = _status_file(settings)

            def look() -> None:
                try:
                    feed.take(ask(find(settings, os.environ)))
                except Unavailable:  # it does not run, or its socket is not ours: the last report
                    feed.take_file(path)

        look()
        if not feed.arrived.wait(FIRST_REPORT_S):
            raise Unavailable(f"no report within {FIRST_REPORT_S:.0f} s: does the agent run?")
        if as_json:
            report, diagnoses, age = feed.newest()
            document = {"age_s": round(age, 1), "health": report, "diagnoses": diagnoses}
            typer.echo(json.dumps(document))
            return
        _show(feed, look, every, once)


def _status_file(settings: Settings) -> Path:
    path = settings.store.state_dir / "status.json"
    if not path.parent.is_dir():
        raise BadConfig(f"{path.parent}: no such folder; name the agent's settings with --config")
    return path


def connect_as(feed: Feed, config: Path | None, host: str, port: int) -> Client:
    """A line to the broker whose messages go to ``feed``."""
    from edge_agent.streaming import Client

    return Client(broker_of(config, host, port), deliver=feed.deliver)


def _ask(client: Client, root: str) -> Callable[[], None]:
    """What asks the agent for a report. Its answers come on the network thread."""
    client.subscribe([f"{root}/health", f"{root}/diagnosis/+", f"{root}/cmd/status/response"])

    def ask() -> None:
        client.publish(f"{root}/cmd/status", b"{}")

    return ask


def _show(feed: Feed, look: Callable[[], None], every: float, once: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    from edge_agent.cli.top_view import screen

    console = Console()
    if once:
        console.print(screen(*feed.newest()))
        return
    try:
        with Live(screen(*feed.newest()), console=console, screen=True) as live:
            while True:
                time.sleep(every)
                look()
                live.update(screen(*feed.newest()))
    except KeyboardInterrupt:
        return
