"""``edge-agent card calibrate``: how far to believe the rules, from what operators said."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_agent.cli.run import ConfigOption

if TYPE_CHECKING:
    from edge_agent.diagnose.library import CardLibrary
    from edge_agent.evaluation.calibrating import Sample
    from edge_agent.store.database import Store

DEFAULT = Path("/etc/edge-agent/edge-agent.toml")
LEAST = 20
"""With fewer words of operators nothing is fitted: three numbers would follow chance."""


def calibrate(
    config: ConfigOption = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fit each card's calibration to the operators' feedback; the agent may run meanwhile.

    Prints a `[calibration]` table for each card where it beats the one in use on words that it was
    not fitted on. Nothing is written: put the table into the card, or push it.
    """
    from edge_agent.config import load_settings
    from edge_agent.diagnose.library import CardLibrary
    from edge_agent.store.database import Store

    settings = load_settings(config)
    cards = CardLibrary.load(settings.diagnose.cards, settings.diagnose.pushed_cards)
    store = Store.view(settings.store.state_dir, settings.store)
    try:
        samples = _samples(store, cards)
    finally:
        store.close()
    found = [_fitted(name, samples.get(name, []), cards) for name in sorted(samples)]
    if as_json:
        typer.echo(json.dumps({"cards": found}))
        return
    for one in found:
        typer.echo(_told(one))
    if not found:
        typer.echo("no operator has said of an incident what it was; see `cmd/feedback`")


def _samples(store: Store, cards: CardLibrary) -> dict[str, list[Sample]]:
    """Card → what was said of its machines' incidents, as far as both are still known."""
    from edge_agent.diagnose.calibration import NOTHING
    from edge_agent.diagnose.rules import evidence_for
    from edge_agent.evaluation.calibrating import Sample

    found: dict[str, list[Sample]] = defaultdict(list)
    for word in store.feedback.recent():
        card, finding = cards.for_equipment(word.equipment), store.incidents.get(word.incident_id)
        if card is None or finding is None:
            continue
        known = {fault.id for fault in card.faults}
        if word.verdict in ("false_alarm", "expected"):
            truth = NOTHING
        elif word.fault is not None and word.fault in known:
            truth = word.fault
        else:
            continue
        found[card.equipment].append(Sample(evidence_for(card, finding), frozenset({truth})))
    return found


def _fitted(name: str, samples: list[Sample], cards: CardLibrary) -> dict[str, Any]:
    from edge_agent.diagnose.calibration import shipped_calibration
    from edge_agent.evaluation.calibrating import cross_validated

    if len(samples) < LEAST:
        return {"card": name, "words": len(samples), "calibration": None}
    card = next(one for one in cards.cards if one.equipment == name)
    now = card.calibration or shipped_calibration()
    fitted, loss, before = cross_validated(samples, now)
    return {
        "card": name,
        "words": len(samples),
        "loss_in_use": round(before, 4),
        "loss_held_out": round(loss, 4),
        "calibration": fitted.model_dump() if loss < before else None,
    }


def _told(one: dict[str, Any]) -> str:
    head = f"# {one['card']}: {one['words']} words of operators"
    if "loss_held_out" not in one:
        return f"{head}; {LEAST} are needed"
    losses = f"held-out loss {one['loss_held_out']:g}, in use {one['loss_in_use']:g}"
    if one["calibration"] is None:
        return f"{head}; {losses}: leave the card as it is"
    table = "\n".join(f"{key} = {value:g}" for key, value in one["calibration"].items())
    return f"{head}; {losses}\n[calibration]\n{table}"
