"""Which model, context and type of KV cache suit a memory budget: the largest tier that fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.errors import BadConfig
from edge_agent.inference.catalog import location, manifests
from edge_agent.inference.gguf import Header, read_header
from edge_agent.inference.manifest import Manifest
from edge_agent.inference.plan import DoesNotFit, Plan, fit
from edge_agent.inference.tier import USEFUL_CONTEXT

LADDER = ("4.5b", "2.8b", "1.2b", "embedded", "other")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model of the catalogue against the budget."""

    manifest: Manifest
    header: Header | None
    plan: Plan | None
    reason: str
    """Why it can't be chosen; empty: it can."""


def candidates(models_dir: Path, context: int, limit_mb: float) -> list[Candidate]:
    """Every model of the catalogue, the largest first; those whose files are here with a plan."""
    known = sorted(manifests(models_dir).values(), key=_rank)
    return [_candidate(one, models_dir, context, limit_mb) for one in known]


def best(found: Sequence[Candidate]) -> Candidate | None:
    """The first that can be chosen."""
    return next((one for one in found if not one.reason), None)


def best_plan(header: Header, context: int, limit_mb: float) -> Plan:
    """The plan with the longer context: 16-bit KV cache if it holds the whole context, else 8-bit
    where that holds more. Raises ``DoesNotFit``."""
    plans = []
    for kind in ("f16", "q8_0"):
        try:
            plans.append(fit(header, context, kind, limit_mb))
        except DoesNotFit as error:
            refusal = error
    if not plans:
        raise refusal
    return max(plans, key=lambda plan: plan.context)


def _rank(manifest: Manifest) -> tuple[int, int]:
    return LADDER.index(manifest.tier), -(manifest.size or 0)


def _candidate(manifest: Manifest, models_dir: Path, context: int, limit_mb: float) -> Candidate:
    try:
        path = location(manifest, models_dir)
        if not path.is_file():
            return Candidate(manifest, None, None, "not here: `edge-agent model add` fetches it")
        header = read_header(path)
        plan = best_plan(header, context, limit_mb)
    except BadConfig as error:
        return Candidate(manifest, None, None, str(error))
    if plan.context < min(context, USEFUL_CONTEXT):
        short = f"only {plan.context} tokens of context fit; a diagnosis wants {USEFUL_CONTEXT}"
        return Candidate(manifest, header, plan, short)
    return Candidate(manifest, header, plan, "")
