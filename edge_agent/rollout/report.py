"""What ``…/config/reported`` says. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from edge_agent.config.settings import Settings
from edge_agent.rollout.decide import Rollout, RolloutState
from edge_agent.rollout.document import PINNED_KEYS, RESTART_KEYS, fingerprint, shown

S = RolloutState
UNSECURED = (
    "no trust anchors: anyone who may publish here can change this gateway; set"
    " rollout.trust_anchors"
)
_IN_EFFECT = frozenset({S.APPLYING, S.PROBATION})


def reported(
    rollout: Rollout, settings: Settings, trusted_keys: list[str] | None, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """The reported state. ``settings``: what is in effect; ``trusted_keys``: the names of
    the keys that may sign; None where signatures are not checked; ``notes``: what a person should
    know of settings that are valid.

    ``revision``/``state``/``reason`` speak of the latest desired document; ``effective`` of what
    runs now. Every line of a ``reason`` names the path of the field that it is about.
    """
    running = rollout.candidate if rollout.state in _IN_EFFECT else rollout.confirmed
    return {
        "schema_version": 1,
        "agent_id": settings.agent.id,
        "revision": rollout.revision,
        "document": rollout.digest,
        "state": rollout.state.value,
        "result": _result(rollout.state),
        "reason": rollout.reason,
        "final": rollout.at_rest and not rollout.alternating,
        "failures": rollout.failures,
        "highest_revision": rollout.highest,
        "waiting_revision": rollout.waiting_revision,
        "restorable": _restorable(rollout),
        "refused": rollout.refused.model_dump(mode="json") if rollout.refused else None,
        "secured": trusted_keys is not None,
        "effective": {
            "revision": running.revision if running else None,
            "signed_by": running.signed_by if running else None,
            "trusted_keys": trusted_keys,
            "hash": fingerprint(settings),
            "settings": shown(settings),
        },
        "restart_pending": list(rollout.restart) if rollout.state is S.APPLYING else [],
        "restart_keys": list(RESTART_KEYS),
        "local_keys": list(PINNED_KEYS),
        "settings_schema_sha256": settings_schema_sha256(),
        "warnings": [*([UNSECURED] if trusted_keys is None else []), *notes],
    }


def _restorable(rollout: Rollout) -> list[int]:
    """The revisions that a document may restore, newest first; 0 is the local file alone."""
    kept = [one.revision for one in (rollout.confirmed, rollout.previous) if one is not None]
    return [*kept, 0]


def _result(state: RolloutState) -> str:
    match state:
        case S.CONFIRMED:
            return "ok"
        case S.REJECTED | S.ROLLED_BACK | S.FAILED:
            return "refused" if state is S.REJECTED else "undone"
        case S.NONE:
            return "none"
        case _:
            return "pending"


@cache
def settings_schema_text() -> str:
    """JSON Schema of the settings document; answered by the command ``schema``."""
    return json.dumps(Settings.model_json_schema(), sort_keys=True, separators=(",", ":"))


@cache
def settings_schema_sha256() -> str:
    """Identifies the schema in the reported state, which stays small."""
    return hashlib.sha256(settings_schema_text().encode("utf-8")).hexdigest()
