"""A gateway for the roll-out tests: real validation, effects that are written down, crashes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_agent.config.load import parse_settings
from edge_agent.config.settings import Settings
from edge_agent.rollout.apply import ConfigRollout
from edge_agent.rollout.effects import Effects, Memory

NOW = 1_790_000_000.0


class Crash(Exception):
    """Power was cut here."""


@dataclass
class Gateway:
    """Disk, running daemon and its effects. ``crash_at`` counts calls of effects and saves."""

    file: dict[str, Any] = field(default_factory=lambda: {"agent": {"id": "gw-1"}})
    disk: bytes | None = None
    running: Settings | None = None
    calls: list[str] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    crash_at: int | None = None
    crash_before: bool = False
    apply_error: Exception | None = None
    restarts: int = 0
    why: str = ""
    clock_trusted: bool = True
    readings: int = 0
    rollout: ConfigRollout = field(init=False)

    def boot(self) -> Settings:
        """Start the daemon on what the disk holds."""
        memory = Memory(load=lambda: self.disk, save=self._save)
        effects = Effects(
            validate=self.validate,
            apply=self._apply,
            restart=self._restart,
            report=self.reports.append,
            readings=lambda: self.readings,
            clock_trusted=lambda: self.clock_trusted,
        )
        self.rollout = ConfigRollout(self.file, memory, effects)
        self.running = self.rollout.resume()
        return self.running

    def validate(self, document: Mapping[str, Any]) -> Settings:
        return parse_settings(document, where="settings")

    def _may_crash(self, call: str, *, before: bool) -> None:
        if before:
            self.calls.append(call)
        due = self.crash_at is not None and len(self.calls) > self.crash_at
        if due and before == self.crash_before:
            self.crash_at = None
            raise Crash(call)

    def _save(self, document: bytes) -> None:
        self._may_crash("save", before=True)
        self.disk = document
        self._may_crash("save", before=False)

    def _apply(self, settings: Settings) -> None:
        self._may_crash("apply", before=True)
        if self.apply_error is not None:
            raise self.apply_error
        self.running = settings
        self._may_crash("apply", before=False)

    def _restart(self, why: str) -> None:
        self._may_crash("restart", before=True)
        self.why = why
        self.restarts += 1

    def push(self, body: Mapping[str, Any], now: float = NOW) -> dict[str, Any]:
        self.rollout.handle_desired(json.dumps(body).encode(), now)
        return self.rollout.reported()

    def pass_time(self, seconds: float, unhealthy: str | None = None) -> dict[str, Any]:
        """Tick once a second, restarting where the roll-out asked for it."""
        for second in range(int(seconds) + 1):
            if self.restarts:
                self.restarts = 0
                self.boot()
            self.rollout.tick(NOW + second, unhealthy)
        return self.rollout.reported()


def patch(revision: float, content: Mapping[str, Any], **more: object) -> dict[str, Any]:
    return {"agent": "gw-1", "revision": revision, "patch": content, **more}
