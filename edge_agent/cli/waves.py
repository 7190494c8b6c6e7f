"""A push in waves: who is next, who is through, whether to go on. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_agent.errors import BadConfig

FINAL_STATES = ("confirmed", "rejected", "rolled_back", "failed")
TROUBLE = ("rejected", "rolled_back", "failed", "silent")
"""``silent``: nothing final was heard in time."""

Report = Mapping[str, Any]


def plan_waves(agents: Sequence[str], steps: Sequence[str]) -> list[list[str]]:
    """``agents`` in waves. A step says how many have it once the wave is through: a number, a
    share such as ``10%`` (rounded up), or ``all``. What the steps leave out is not pushed to.
    Raises ``BadConfig`` for a step that is none of these."""
    waves: list[list[str]] = []
    done = 0
    for step in steps:
        target = min(_count(step, len(agents)), len(agents))
        if target > done:
            waves.append(list(agents[done:target]))
            done = target
    return waves


def _count(step: str, total: int) -> int:
    if step == "all":
        return total
    number = step.removesuffix("%")
    if not number.isascii() or not number.isdecimal() or len(number) > 9:
        raise BadConfig(f"wave {step!r}: write a number, a share such as 10%, or all")
    return math.ceil(total * int(number) / 100) if step.endswith("%") else int(number)


def members(reports: Mapping[str, Report], group: str | None) -> list[str]:
    """The agents of ``group`` (all for None) among those that have reported, by name."""
    return sorted(
        agent
        for agent, report in reports.items()
        if group is None or group in _at(report, "effective", "settings", "rollout", "groups", [])
    )


def _at(node: Any, *path: Any) -> Any:  # noqa: ANN401 - reports come from other machines
    *keys, default = path
    for key in keys:
        if not isinstance(node, Mapping) or key not in node:
            return default
        node = node[key]
    return node


def next_revision(reports: Iterable[Report]) -> int:
    """Higher than every revision that these agents have seen."""
    seen = [_at(report, "highest_revision", 0) for report in reports]
    return max((one for one in seen if isinstance(one, int)), default=0) + 1


def outcome_of(report: Report | None, document: str) -> tuple[str, str] | None:
    """(final state, reason) that ``report`` gives for the payload with SHA-256 ``document``;
    None while it is under way."""
    if report is None:
        return None
    final = report.get("state") in FINAL_STATES and report.get("final", True)
    if report.get("document") == document and final:
        return str(report["state"]), str(report.get("reason", ""))
    refused = report.get("refused")
    if isinstance(refused, Mapping) and refused.get("document") == document:
        return "rejected", str(refused.get("reason", ""))
    return None


@dataclass(frozen=True, slots=True)
class AgentOutcome:
    """How a push ended for one agent."""

    agent: str
    wave: int
    """From 1."""
    state: str
    """A final state, ``silent``, or ``untouched`` where the push was halted before."""
    reason: str = ""


def differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted key → (left, right) where two settings documents differ."""
    flat_left, flat_right = _flat(left), _flat(right)
    return {
        key: (flat_left.get(key), flat_right.get(key))
        for key in sorted(flat_left.keys() | flat_right.keys())
        if flat_left.get(key) != flat_right.get(key)
    }


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
