"""What was found and diagnosed since the start: counts, and the last few results. Thread-safe."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

from edge_agent.domain.diagnosis import Diagnosis
from edge_agent.domain.finding import Finding

LAST = 8
"""Diagnoses that ``last`` holds."""


class Tally:
    """Counts committed findings and diagnoses; ``report`` is a section of the health document."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._incidents: Counter[str] = Counter()
        self._diagnoses: Counter[tuple[str, str]] = Counter()
        self._tokens_in = self._tokens_out = 0
        self._seconds = self._joules = 0.0
        self._last: deque[dict[str, Any]] = deque(maxlen=LAST)

    def findings(self, found: Iterable[Finding]) -> None:
        """Count findings by phase."""
        with self._lock:
            self._incidents.update(str(one.phase) for one in found)

    def diagnosis(self, made: Diagnosis) -> None:
        """Count a diagnosis and what it took."""
        with self._lock:
            self._diagnoses[made.source, made.verdict] += 1
            self._tokens_in += made.cost.tokens_in
            self._tokens_out += made.cost.tokens_out
            self._seconds += made.cost.seconds
            self._joules += made.cost.joules
            self._last.append(_brief(made))

    def report(self) -> dict[str, Any]:
        """Counts since the start and the last diagnoses, oldest first."""
        with self._lock:
            return {
                "incidents": dict(self._incidents),
                "diagnoses": [
                    {"source": source, "verdict": verdict, "count": count}
                    for (source, verdict), count in sorted(self._diagnoses.items())
                ],
                "tokens_in": self._tokens_in,
                "tokens_out": self._tokens_out,
                "seconds": round(self._seconds, 3),
                "joules": round(self._joules, 3),
                "last": list(self._last),
            }


def _brief(made: Diagnosis) -> dict[str, Any]:
    """A diagnosis in the shape of the message, without its evidence and texts."""
    shape = {
        "diagnosis_id",
        "incident_id",
        "equipment",
        "simulated",
        "created_at",
        "verdict",
        "fault",
        "severity",
        "source",
        "source_reason",
        "governor_level",
        "cost",
    }
    return made.model_dump(mode="json", include=shape)
