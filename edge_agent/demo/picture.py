"""What an ordinary MQTT client has seen so far. Pure: messages in, state out."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pydantic import ValidationError

from edge_agent.domain.diagnosis import Diagnosis

HISTORY = 400
"""Values kept for each signal's line."""


@dataclass
class Trace:
    """One signal: its last values, and its usual level for drawing."""

    values: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))
    level: float | None = None
    """Median while the agent learned; only for the picture, the agent has its own."""
    spread: float = 0.0
    """Robust standard deviation in that time."""
    learning: list[float] = field(default_factory=list)
    seen: int = 0
    """Values so far: keeps the bars of a line where they are while it grows."""

    @property
    def away(self) -> float:
        """Distance of the last values from the usual level, in usual spreads."""
        if self.level is None or not self.values:
            return 0.0
        recent = list(self.values)[-8:]
        return abs(sum(recent) / len(recent) - self.level) / max(self.spread, 1e-9)

    def add(self, value: float, learned: bool) -> None:
        """One more reading; ``learned`` once the learning phase is over."""
        self.values.append(value)
        self.seen += 1
        if not learned:
            self.learning.append(value)
        elif self.level is None and self.learning:
            self.level = median(self.learning)
            self.spread = 1.4826 * median(abs(v - self.level) for v in self.learning)
            self.learning.clear()


class Picture:
    """Collects telemetry, incidents, diagnoses, status and health of one equipment."""

    def __init__(
        self, equipment: str, learn_rows: int, total_rows: int, fault_row: int | None = None
    ) -> None:
        self.equipment = equipment
        self.learn_rows = learn_rows
        self.total_rows = total_rows
        self.fault_row = fault_row
        """Row at which the simulator begins its fault; None for a recording."""
        self.rows = 0
        self.source_time: str = ""
        self.traces: dict[str, Trace] = {}
        self.online = False
        self.health: dict[str, Any] = {}
        self.incidents: list[dict[str, Any]] = []
        """The latest message of each incident, oldest first."""
        self.diagnoses: list[Diagnosis] = []
        self.complaints: list[str] = []
        """Messages that are not what they should be."""

    @property
    def learned(self) -> bool:
        """Whether the rows that the agent learns from have passed."""
        return self.rows > self.learn_rows

    def take(self, topic: str, payload: bytes) -> list[str]:
        """One message; returns the events worth a line: online, offline, opened, updated,
        closed, diagnosis, complaint."""
        try:
            document = json.loads(payload) if payload else {}
        except ValueError:
            return self._complain(f"{topic}: not JSON: {payload[:60]!r}")
        if not isinstance(document, dict):
            return self._complain(f"{topic}: not a JSON object")
        words = topic.split("/")
        if "diagnosis" in words[-2:-1]:
            return self._diagnosis(topic, payload)
        if "incident" in words[-2:-1]:
            return self._incident(document)
        handler = {
            "telemetry": self._telemetry,
            "status": self._status,
            "health": self._health,
        }.get(words[-1])
        return handler(document) if handler else []

    def _status(self, document: dict[str, Any]) -> list[str]:
        before, self.online = self.online, document.get("state") == "online"
        return [] if before == self.online else ["online" if self.online else "offline"]

    def _health(self, document: dict[str, Any]) -> list[str]:
        self.health = document
        return []

    def _telemetry(self, document: dict[str, Any]) -> list[str]:
        self.rows += 1
        self.source_time = str(document.pop("timestamp", ""))
        for name, value in document.items():
            if isinstance(value, int | float):
                self.traces.setdefault(name, Trace()).add(float(value), self.learned)
        return []

    def _incident(self, document: dict[str, Any]) -> list[str]:
        known = {i.get("incident_id"): n for n, i in enumerate(self.incidents)}
        place = known.get(document.get("incident_id"))
        if place is None:
            self.incidents.append(document)
        else:
            self.incidents[place] = document
        return [str(document.get("phase", "updated"))]

    def _diagnosis(self, topic: str, payload: bytes) -> list[str]:
        try:
            diagnosis = Diagnosis.model_validate_json(payload)
        except ValidationError as error:
            return self._complain(f"{topic}: not a valid Diagnosis: {error}")
        # Receivers deduplicate on the id, as every client should.
        if any(d.diagnosis_id == diagnosis.diagnosis_id for d in self.diagnoses):
            return []
        self.diagnoses.append(diagnosis)
        return ["diagnosis"]

    def _complain(self, text: str) -> list[str]:
        self.complaints.append(text)
        return ["complaint"]

    def answer(self, onset: float | None, *, undetermined: bool = False) -> Diagnosis | None:
        """The diagnosis of the fault: the first whose evidence reaches past ``onset`` and that
        names a fault; with ``undetermined`` also one that names none."""
        for diagnosis in self.diagnoses:
            late_enough = onset is None or diagnosis.window.end >= onset
            if late_enough and (undetermined or diagnosis.fault is not None):
                return diagnosis
        return None
