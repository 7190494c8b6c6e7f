"""What diagnoses were made from; bounded in bytes, the oldest go first, and with their jobs."""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Callable

import structlog
from pydantic import ValidationError

from edge_agent.domain.audit import DiagnosisRecord
from edge_agent.domain.card import Card
from edge_agent.store.connection import Connection

LARGEST_KB = 256
"""A record that is larger even when compressed is not kept; none of a bounded prompt is."""
log = structlog.get_logger()


class Records:
    """Records by job. ``max_bytes``: what they may take together, cards included."""

    def __init__(
        self, connection: Connection, max_bytes: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._connection = connection
        self._max_bytes = max_bytes
        self._clock = clock

    def bound(self, max_bytes: int) -> None:
        """Another bound, from the next pruning on."""
        self._max_bytes = max_bytes

    def put(self, record: DiagnosisRecord) -> None:
        """Keep ``record``; it replaces that of the same job. In one transaction with its job."""
        given = record.circumstances
        card = given.card.model_dump_json().encode() if given.card else None
        sha256 = hashlib.sha256(card).hexdigest() if card else None
        bare = record.model_copy(update={"circumstances": given.model_copy(update={"card": None})})
        document = zlib.compress(bare.model_dump_json().encode())
        if len(document) > LARGEST_KB * 1024:
            log.warning("record_too_large", job=given.job.id, bytes=len(document))
            return
        with self._connection.transaction():
            if card and sha256:
                packed = zlib.compress(card)
                self._connection.change(
                    "INSERT OR IGNORE INTO record_cards (sha256, size, document) VALUES (?, ?, ?)",
                    (sha256, len(packed), packed),
                )
            self._connection.change(
                "INSERT OR REPLACE INTO records (job_id, incident_id, made_at, card_sha256, size,"
                " document) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    given.job.id,
                    given.job.incident_id,
                    self._clock(),
                    sha256,
                    len(document),
                    document,
                ),
            )

    def get(self, job_id: str) -> DiagnosisRecord | None:
        """The record of a job; None where there is none, or none that this version reads."""
        return self._one("records.job_id = ?", job_id)

    def of_incident(self, incident_id: str) -> DiagnosisRecord | None:
        """The newest of an incident."""
        return self._one("records.incident_id = ?", incident_id)

    def _one(self, where: str, value: str) -> DiagnosisRecord | None:
        rows = self._connection.execute(
            "SELECT records.document AS document, record_cards.document AS card FROM records"  # noqa: S608 - one of our own two conditions
            f" LEFT JOIN record_cards ON sha256 = card_sha256 WHERE {where}"
            " ORDER BY made_at DESC, records.rowid DESC LIMIT 1",
            (value,),
        )
        if not rows:
            return None
        try:
            record = DiagnosisRecord.model_validate_json(zlib.decompress(rows[0]["document"]))
            if rows[0]["card"] is None:
                return record
            card = Card.model_validate_json(zlib.decompress(rows[0]["card"]))
        except (zlib.error, ValidationError) as error:
            log.warning("record_unreadable", record=value, reason=str(error)[:300])
            return None
        given = record.circumstances.model_copy(update={"card": card})
        return record.model_copy(update={"circumstances": given})

    def taken(self) -> int:
        """Bytes that records and their cards take."""
        rows = self._connection.execute(
            "SELECT (SELECT coalesce(sum(size), 0) FROM records)"
            " + (SELECT coalesce(sum(size), 0) FROM record_cards)"
        )
        return int(rows[0][0])

    def prune(self) -> int:
        """Forget those whose job is gone and the oldest beyond the bound; how many went."""
        with self._connection.transaction():
            gone = self._connection.change(
                "DELETE FROM records WHERE job_id NOT IN (SELECT id FROM jobs)"
            )
            self._forget_cards()
            cards = self._connection.execute("SELECT coalesce(sum(size), 0) FROM record_cards")
            gone += self._connection.change(
                "DELETE FROM records WHERE job_id IN (SELECT job_id FROM (SELECT job_id,"
                " sum(size) OVER (ORDER BY made_at DESC, rowid DESC) AS reached FROM records)"
                " WHERE reached > ?)",
                (max(0, self._max_bytes - int(cards[0][0])),),
            )
            self._forget_cards()
        return gone

    def shed(self) -> None:
        """The disk is full: a look back is worth less than what is to come."""
        self._connection.change("DELETE FROM records")
        self._forget_cards()

    def _forget_cards(self) -> None:
        self._connection.change(
            "DELETE FROM record_cards WHERE sha256 NOT IN"
            " (SELECT card_sha256 FROM records WHERE card_sha256 IS NOT NULL)"
        )
