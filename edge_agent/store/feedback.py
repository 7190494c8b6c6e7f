"""What operators said of incidents."""

from __future__ import annotations

from edge_agent.domain.feedback import LONGEST_HISTORY, Feedback
from edge_agent.store.connection import Connection

FEEDBACK_KEPT = 5_000


class FeedbackBook:
    """One word an incident; bounded, the oldest go first."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, feedback: Feedback) -> None:
        """Keep what was said; it replaces what was said of the same incident before."""
        self._connection.change(
            "INSERT OR REPLACE INTO feedback (incident_id, equipment, given_at, document)"
            " VALUES (?, ?, ?, ?)",
            (
                feedback.incident_id,
                feedback.equipment,
                feedback.given_at,
                feedback.model_dump_json(),
            ),
        )

    def forget(self, incident_id: str) -> bool:
        """Take a word back; whether there was one."""
        return bool(
            self._connection.change("DELETE FROM feedback WHERE incident_id = ?", (incident_id,))
        )

    def of_equipment(self, equipment: str, limit: int = LONGEST_HISTORY) -> list[Feedback]:
        """The newest words of one machine, newest first."""
        rows = self._connection.execute(
            "SELECT document FROM feedback WHERE equipment = ?"
            " ORDER BY given_at DESC, rowid DESC LIMIT ?",
            (equipment, limit),
        )
        return [Feedback.model_validate_json(row["document"]) for row in rows]

    def of_incident(self, incident_id: str) -> Feedback | None:
        """The word on one incident."""
        rows = self._connection.execute(
            "SELECT document FROM feedback WHERE incident_id = ?", (incident_id,)
        )
        return Feedback.model_validate_json(rows[0]["document"]) if rows else None

    def recent(self, limit: int = FEEDBACK_KEPT) -> list[Feedback]:
        """The newest words of all machines, newest first."""
        rows = self._connection.execute(
            "SELECT document FROM feedback ORDER BY given_at DESC, rowid DESC LIMIT ?", (limit,)
        )
        return [Feedback.model_validate_json(row["document"]) for row in rows]

    def prune(self, keep: int = FEEDBACK_KEPT) -> int:
        """Forget the oldest beyond ``keep``; how many went."""
        return self._connection.change(
            "DELETE FROM feedback WHERE rowid NOT IN"
            " (SELECT rowid FROM feedback ORDER BY given_at DESC, rowid DESC LIMIT ?)",
            (keep,),
        )
