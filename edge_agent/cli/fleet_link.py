"""The fleet manager's line to the broker: hears what the gateways report, tells them what is
desired."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from edge_agent.config.broker import MqttSection
from edge_agent.streaming import Client

ACKNOWLEDGED_S = 10.0
REPORTS = ("config/reported", "model/reported", "adapter/reported", "status")
QUIET_S = 1.0
"""The retained reports are taken as complete once none came for this long."""
MAX_AGENTS = 100_000


class FleetLink:
    """Connected inside ``with``. Raises ``Unavailable`` where the broker cannot be reached."""

    def __init__(self, settings: MqttSection, prefix: str) -> None:
        self._client = Client(settings, deliver=self._deliver)
        self._prefix = prefix
        self._news = threading.Condition()
        self._heard_at = time.monotonic()
        self._reports: dict[str, dict[str, Any]] = {}
        self._models: dict[str, dict[str, Any]] = {}
        self._adapters: dict[str, dict[str, Any]] = {}
        self._online: dict[str, bool] = {}

    def __enter__(self) -> FleetLink:
        self._client.connect()
        self._client.subscribe(f"{self._prefix}/+/{topic}" for topic in REPORTS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def _deliver(self, topic: str, payload: bytes) -> None:
        try:
            agent, _, kind = topic[len(self._prefix) + 1 :].partition("/")
            document = json.loads(payload)
        except ValueError:  # not UTF-8 or no JSON: not one of ours
            return
        if not isinstance(document, dict):
            return
        with self._news:
            known = len(self._reports) + len(self._models) + len(self._adapters) + len(self._online)
            if known >= 4 * MAX_AGENTS:
                return
            if kind == "status":
                self._online[agent] = document.get("state") == "online"
            elif kind == "model/reported":
                self._models[agent] = document
            elif kind == "adapter/reported":
                self._adapters[agent] = document
            else:
                self._reports[agent] = document
            self._heard_at = time.monotonic()
            self._news.notify_all()

    @property
    def reports(self) -> dict[str, dict[str, Any]]:
        """Agent id → its latest reported state."""
        with self._news:
            return dict(self._reports)

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """Agent id → what it reports of its model roll-out."""
        with self._news:
            return dict(self._models)

    @property
    def adapters(self) -> dict[str, dict[str, Any]]:
        """Agent id → what it reports of its adapter roll-out."""
        with self._news:
            return dict(self._adapters)

    @property
    def online(self) -> dict[str, bool]:
        """Agent id → whether its last will has not been heard since its birth."""
        with self._news:
            return dict(self._online)

    def settle(self, limit_s: float = 10.0) -> None:
        """Wait until the retained reports have come in."""
        end = time.monotonic() + limit_s
        with self._news:
            while (now := time.monotonic()) < min(end, self._heard_at + QUIET_S):
                self._news.wait(min(end, self._heard_at + QUIET_S) - now)

    def wait_until(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for news until ``done``; False when the time is up."""
        with self._news:
            return self._news.wait_for(done, timeout_s)

    def wait_for_news(self, timeout_s: float) -> None:
        """Wait until something was reported, or the time is up."""
        with self._news:
            self._news.wait(timeout_s)

    def desire(self, agent: str, payload: bytes, what: str = "config") -> None:
        """Publish a desired document (``config`` or ``model``) for ``agent``, retained. Raises
        ``Unavailable``."""
        self._client.publish(f"{self._prefix}/{agent}/{what}/desired", payload, retain=True)
        self._client.drain(ACKNOWLEDGED_S)
