"""What a roll-out remembers: its ledger, saved whole before anything follows from it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import structlog
from pydantic import ValidationError

from edge_agent.errors import BadConfig
from edge_agent.rollout.decide import Ledger, Outcome, Verdict, judge_revision
from edge_agent.rollout.document import Signed
from edge_agent.rollout.effects import Memory
from edge_agent.rollout.envelope import LIMIT_BYTES

log = structlog.get_logger()
Kept = TypeVar("Kept", bound=Ledger)
Admit = Callable[[bytes], Signed]
"""The verified document in a payload. Raises ``BadConfig``."""


class Journal(Generic[Kept]):
    """A ledger and its place on disk. Not thread-safe: its roll-out holds the lock."""

    def __init__(self, memory: Memory, kind: type[Kept], name: str) -> None:
        """``name``: for the log. An unreadable ledger is lost, and says so."""
        self._memory = memory
        self._name = name
        self.ledger = self._recall(kind)

    def keep(self, ledger: Kept) -> None:
        """Save ``ledger``, then go by it."""
        self._memory.save(ledger.model_dump_json().encode("utf-8"))
        self.ledger = ledger

    def change(self, **changes: object) -> None:
        """Save the ledger with ``changes``."""
        self.keep(self.ledger.model_copy(update=changes))

    def refuse(self, payload: bytes, reason: str, revision: int | None = None) -> bool:
        """Note that a document was refused while another is under way; False if it is noted."""
        refused = Outcome(
            state="rejected", revision=revision, reason=reason[:2000], document=digest_of(payload)
        )
        if refused == self.ledger.refused:
            return False
        log.warning(f"{self._name}_refused", revision=revision, reason=refused.reason)
        self.change(refused=refused)
        return True

    def queue(self, payload: bytes, admit: Admit) -> bool:
        """A document that came while another is under way waits if it is genuine; the newest
        wins. False if nothing changed."""
        try:
            signed = admit(payload)
        except BadConfig as error:
            return self.refuse(payload, str(error))
        verdict, why = judge_revision(self.ledger, signed.revision, signed.digest)
        if verdict is Verdict.REPLAYED:
            return self.refuse(payload, why, signed.revision)
        if verdict is not Verdict.NEW or signed.revision == self.ledger.waiting_revision:
            return False
        self.change(
            waiting=encoded(payload),
            waiting_revision=signed.revision,
            highest=signed.revision,
            highest_digest=signed.digest,
        )
        return True

    def taken_from_waiting(self) -> dict[str, Any]:
        """The changes that make the waiting document the received one."""
        waiting = self.ledger.waiting
        return {
            **arrival(base64.b64decode(waiting or "")),
            "waiting": None,
            "waiting_revision": None,
        }

    def received(self) -> bytes:
        """The payload that was received last. Raises ``BadConfig`` where it was too large."""
        if self.ledger.payload is None:
            raise BadConfig(f"desired document: more than {LIMIT_BYTES} bytes are not read")
        return base64.b64decode(self.ledger.payload)

    def _recall(self, kind: type[Kept]) -> Kept:
        saved = self._memory.load()
        if saved is None:
            return kind()
        try:
            return kind.model_validate_json(saved)
        except ValidationError as error:
            # A gateway that starts with its own file is better than one that does not start.
            log.warning(f"{self._name}_state_unreadable", error=str(error)[:500])
            return kind(reason="the saved state of the roll-out was unreadable and is lost")


def arrival(payload: bytes) -> dict[str, Any]:
    """The changes that receiving ``payload`` makes. Too large a one is not kept: flash wears."""
    return {
        "payload": encoded(payload) if len(payload) <= LIMIT_BYTES else None,
        "digest": digest_of(payload),
        "reason": "",
        "revision": None,
    }


def acceptance(content: Signed) -> dict[str, Any]:
    """The changes that a verified new document makes: its revision is used up with them."""
    return {
        "candidate": content,
        "outcome": None,
        "refused": None,
        "starts": 0,
        "failures": 0,
        "highest": content.revision,
        "highest_digest": content.digest,
        "revision": content.revision,
        "payload": None,
    }


def encoded(payload: bytes) -> str:
    """Base64, as the ledger keeps payloads."""
    return base64.b64encode(payload).decode("ascii")


def digest_of(payload: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(payload).hexdigest()
