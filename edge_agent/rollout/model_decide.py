"""The model roll-out's table of states and what it keeps. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from edge_agent.errors import IllegalTransition
from edge_agent.rollout.decide import Ledger
from edge_agent.rollout.model_document import ModelContent


class ModelState(StrEnum):
    """Where the latest desired model stands."""

    NONE = "none"
    RECEIVED = "received"
    VERIFIED = "verified"
    """Signature, addressee, revision and validity are right; its revision is used up."""
    FETCHING = "fetching"
    """The file is coming; what is here stays over restarts."""
    FETCHED = "fetched"
    """Size and hash are the manifest's."""
    CHECKED = "checked"
    """The header is sound and the memory plan fits."""
    CANARY = "canary"
    """It answers known questions on this device, next to the model in use or in turn with it."""
    SWITCHING = "switching"
    PROBATION = "probation"
    """In use; failures take it back."""
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    """Refused; the model in use was not touched."""
    ROLLED_BACK = "rolled_back"
    """Was in use and not good; the one before is in use again."""
    FAILED = "failed"
    """Could not be fetched or tried; may succeed another time."""


S = ModelState
_AT_REST = frozenset({S.NONE, S.CONFIRMED, S.REJECTED, S.ROLLED_BACK, S.FAILED})
_UNTOUCHED = frozenset({S.VERIFIED, S.FETCHING, S.FETCHED, S.CHECKED})
_IN_USE = frozenset({S.SWITCHING, S.PROBATION})

MODEL_TRANSITIONS: dict[ModelState, frozenset[ModelState]] = {
    S.NONE: frozenset({S.RECEIVED}),
    S.RECEIVED: frozenset({S.VERIFIED, S.REJECTED, S.CONFIRMED, S.ROLLED_BACK, S.FAILED}),
    S.VERIFIED: frozenset({S.FETCHING, S.SWITCHING, S.CONFIRMED, S.REJECTED, S.RECEIVED}),
    S.FETCHING: frozenset({S.FETCHED, S.REJECTED, S.FAILED, S.RECEIVED}),
    S.FETCHED: frozenset({S.CHECKED, S.REJECTED, S.RECEIVED}),
    S.CHECKED: frozenset({S.CANARY, S.RECEIVED}),
    S.CANARY: frozenset({S.CANARY, S.SWITCHING, S.REJECTED, S.FAILED}),
    S.SWITCHING: frozenset({S.SWITCHING, S.PROBATION, S.ROLLED_BACK}),
    S.PROBATION: frozenset({S.SWITCHING, S.CONFIRMED, S.ROLLED_BACK}),
    S.CONFIRMED: frozenset({S.RECEIVED}),
    S.REJECTED: frozenset({S.RECEIVED}),
    S.ROLLED_BACK: frozenset({S.RECEIVED}),
    S.FAILED: frozenset({S.RECEIVED, S.VERIFIED}),
}
"""Every legal move. ``→ RECEIVED`` from a state that has touched nothing: a newer document came.
``VERIFIED → SWITCHING``: back to a model that was proven before. ``CANARY``, ``SWITCHING`` and
``PROBATION`` repeat after a crash. ``FAILED → VERIFIED``: another try."""


class ModelLedger(Ledger):
    """The whole state of the model roll-out. ``confirmed`` None: the model of the settings."""

    state: ModelState = S.NONE
    candidate: ModelContent | None = None
    confirmed: ModelContent | None = None
    previous: ModelContent | None = None
    fetched_bytes: int = 0
    """Bytes here when the state was last saved; the file itself knows better."""
    canary: dict[str, float] = {}
    """What the canary measured on this device."""
    removable: tuple[str, ...] = ()
    """Names of models that came by a roll-out and are no longer needed."""

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way."""
        return self.state in _AT_REST

    @property
    def untouched(self) -> bool:
        """Whether a newer document may take over at once."""
        return self.state in _UNTOUCHED

    @property
    def in_use(self) -> ModelContent | None:
        """The model that shall run now; None: that of the settings."""
        return self.candidate if self.state in _IN_USE else self.confirmed


def move_model(ledger: ModelLedger, state: ModelState, **changes: object) -> ModelLedger:
    """``ledger`` in ``state``. Raises ``IllegalTransition`` where the table has no such move."""
    allowed = MODEL_TRANSITIONS[ledger.state]
    if state not in allowed:
        raise IllegalTransition(
            f"a model roll-out that is {ledger.state} cannot become {state}; allowed:"
            f" {', '.join(sorted(allowed))}"
        )
    return ledger.model_copy(update={"state": state, **changes})


def model_report(ledger: ModelLedger, agent_id: str, *, fetched_bytes: int) -> dict[str, Any]:
    """What ``…/model/reported`` says."""
    candidate, in_use = ledger.candidate, ledger.in_use
    wanted = candidate.model if candidate is not None else None
    used = in_use.model if in_use is not None else None
    return {
        "schema_version": 1,
        "agent_id": agent_id,
        "revision": ledger.revision,
        "document": ledger.digest,
        "state": ledger.state.value,
        "reason": ledger.reason,
        "failures": ledger.failures,
        "highest_revision": ledger.highest,
        "waiting_revision": ledger.waiting_revision,
        "refused": ledger.refused.model_dump(mode="json") if ledger.refused else None,
        "desired": {"name": wanted.name, "sha256": wanted.sha256} if wanted else None,
        "progress": {"bytes": fetched_bytes, "of": wanted.size} if wanted else None,
        "canary": ledger.canary,
        "in_use": {"name": used.name, "sha256": used.sha256} if used else None,
        "previous": ledger.previous.model.name
        if ledger.previous is not None and ledger.previous.model is not None
        else None,
    }
