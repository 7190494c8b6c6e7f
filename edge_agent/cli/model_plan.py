"""What ``edge-agent model plan`` does."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from edge_agent.errors import BadConfig
from edge_agent.inference.catalog import resolve
from edge_agent.inference.choice import best, best_plan, candidates
from edge_agent.inference.gguf import Header, read_header
from edge_agent.inference.plan import KV_BYTES, fit
from edge_agent.inference.speed import Speed, estimate, measure_machine
from edge_agent.inference.tuning import read_tuning

PROMPT, ANSWER = 480, 100
"""Tokens of a diagnosis of a new card, roughly."""


def ladder(models_dir: Path, context: int, limit_mb: float) -> tuple[str, list[dict[str, str]]]:
    """The model that is chosen, and the larger ones with what keeps them out. Raises
    ``BadConfig`` if none can be chosen."""
    found = candidates(models_dir, context, limit_mb)
    chosen = best(found)
    refused = [
        {"model": one.manifest.name, "tier": one.manifest.tier, "reason": one.reason}
        for one in found
        if one.reason
    ]
    if chosen is None:
        told = "; ".join(f"{one['model']}: {one['reason']}" for one in refused)
        raise BadConfig(f"no model of the catalogue can be chosen: {told}")
    return chosen.manifest.name, refused


def foreseen(
    model: str, models_dir: Path, context: int, kv_type: str, limit_mb: float
) -> dict[str, Any]:
    """Memory and speed of one model. Raises ``BadConfig``, ``DoesNotFit`` among them."""
    if kv_type != "auto" and kv_type not in KV_BYTES:
        raise typer.BadParameter(f"{kv_type!r}; allowed: auto, {', '.join(KV_BYTES)}")
    file = resolve(model, models_dir)
    header = read_header(file.path)
    if kv_type == "auto":
        result = best_plan(header, context, limit_mb)
    else:
        result = fit(header, context, kv_type, limit_mb)
    speed = _speed(file.manifest.name, models_dir, header)
    return {
        "model": model,
        "tier": file.manifest.tier,
        **asdict(result),
        "total_mb": result.total_mb,
        "prefill_tokens_per_second": speed.prefill,
        "decode_tokens_per_second": speed.decode,
        "speed_measured": speed.measured,
        "seconds_for_a_new_card": round(speed.seconds(PROMPT, ANSWER), 1),
    }


def _speed(name: str, models_dir: Path, header: Header) -> Speed:
    """As ``model tune`` measured it here, else estimated."""
    tuning = read_tuning(name, models_dir)
    if tuning is None:
        return estimate(header, measure_machine(len(os.sched_getaffinity(0))))
    chosen = tuning.chosen
    return Speed(chosen.prefill_tokens_per_second, 1000 / chosen.decode_ms, measured=True)


def show_plan(document: dict[str, Any], others: list[dict[str, str]]) -> None:
    """A table for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{document['model']}, tier {document['tier']}")
    table.add_column("part")
    table.add_column("MB", justify="right")
    parts = {
        "weights": document["weights"],
        f"KV cache, {document['context']} tokens, {document['kv_type']}": document["kv"],
        "compute buffers": document["compute"],
        "process": document["process"],
    }
    for name, size in parts.items():
        table.add_row(name, f"{size / 1e6:.1f}")
    table.add_row("total", f"{document['total_mb']:.1f}")
    console = Console()
    console.print(table)
    measured = document["speed_measured"]
    source = "measured by `model tune`" if measured else "estimated; `model tune` measures"
    console.print(
        f"about {document['prefill_tokens_per_second']:.0f} tokens/s of prompt, "
        f"{document['decode_tokens_per_second']:.1f} of answer ({source}): "
        f"{document['seconds_for_a_new_card']} s for a new card",
        highlight=False,
    )
    for one in others:
        console.print(f"not {one['model']} ({one['tier']}): {one['reason']}", style="dim")
