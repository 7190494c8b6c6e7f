"""The last state of each incident, for the history and the shift summary."""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_agent.domain.finding import Finding
from edge_agent.store.connection import Connection

INCIDENTS_KEPT = 5_000
OPEN_FOR_S = 7 * 86_400.0
"""An incident that nothing was heard of for longer is taken for forgotten, seconds."""


class Incidents:
    """Incidents by id; bounded, the oldest go first."""

    def __init__(self, connection: Connection, clock: Callable[[], float] = time.time) -> None:
        self._connection = connection
        self._clock = clock

    def record(self, finding: Finding) -> bool:
        """Keep the incident's newest state. False where this state, or a newer one, is known:
        a message came twice and its effect must not."""
        return bool(
            self._connection.change(
                "INSERT INTO incidents (incident_id, equipment, opened_at, closed_at, sequence,"
                " phase, recorded_at, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (incident_id) DO UPDATE SET closed_at = excluded.closed_at,"
                " sequence = excluded.sequence, phase = excluded.phase,"
                " recorded_at = excluded.recorded_at, document = excluded.document"
                " WHERE excluded.sequence > incidents.sequence",
                (
                    finding.incident_id,
                    finding.equipment,
                    finding.opened_at,
                    finding.closed_at,
                    finding.sequence,
                    finding.phase.value,
                    self._clock(),
                    finding.model_dump_json(),
                ),
            )
        )

    def get(self, incident_id: str) -> Finding | None:
        """The newest state of one incident."""
        rows = self._connection.execute(
            "SELECT document FROM incidents WHERE incident_id = ?", (incident_id,)
        )
        return Finding.model_validate_json(rows[0]["document"]) if rows else None

    def recent(self, equipment: str | None = None, limit: int = 20) -> list[Finding]:
        """The newest incidents, newest first; of one machine, or of all."""
        rows = self._connection.execute(
            "SELECT document FROM incidents WHERE ?1 IS NULL OR equipment = ?1"
            " ORDER BY recorded_at DESC, rowid DESC LIMIT ?2",
            (equipment, limit),
        )
        return [Finding.model_validate_json(row["document"]) for row in rows]

    def since(self, start: float, limit: int = 1_000) -> list[Finding]:
        """The newest state of each incident that moved since ``start`` (wall clock, Unix seconds)
        or is open and moved within the week before, newest first."""
        rows = self._connection.execute(
            "SELECT document FROM incidents WHERE recorded_at >= ?1"
            " OR (phase <> 'closed' AND recorded_at >= ?1 - ?2)"
            " ORDER BY recorded_at DESC, rowid DESC LIMIT ?3",
            (start, OPEN_FOR_S, limit),
        )
        return [Finding.model_validate_json(row["document"]) for row in rows]

    def prune(self, keep: int = INCIDENTS_KEPT) -> int:
        """Forget the oldest beyond ``keep``; how many went."""
        return self._connection.change(
            "DELETE FROM incidents WHERE rowid NOT IN"
            " (SELECT rowid FROM incidents ORDER BY recorded_at DESC, rowid DESC LIMIT ?)",
            (keep,),
        )
