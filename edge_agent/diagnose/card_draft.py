"""A card to begin with, from a recording: its signals, units and what was seen of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_agent.config.toml_text import key, quoted

EXAMPLE = """
# One block for each way to fail. Say in plain words what it does to the signals, by their names; or
# formally, in symptoms. `edge-agent card check` looks it over, `card compile` reads the words.
# [[faults]]
# id = "worn_bearing"
# title = "Worn bearing"
# description = "The bearing runs hot and the vibration rises slowly, while the flow stays."
# symptoms = { vibration = "rises", flow = "unchanged" }
# severity = "warning"
# actions = ["Listen to the bearing.", "Plan its replacement."]
"""


@dataclass(frozen=True, slots=True)
class SeenColumn:
    """What a recording shows of one signal."""

    name: str
    unit: str
    low: float
    high: float


def card_text(
    equipment: str, period_s: float, columns: Sequence[SeenColumn], types: Mapping[str, str]
) -> str:
    """The card's TOML. ``types``: name → title of the types it may take over, for the engineer to
    choose from."""
    lines = [
        "# Drafted from a recording: add what each signal means, and the faults that can happen.",
        f"equipment = {quoted(equipment)}",
        '# type = "…"   takes signals and faults over from one of these (then say `is = …` below):',
        *(f"#   {name}: {title}" for name, title in types.items()),
        'title = ""',
    ]
    if period_s > 0:
        lines.append(f"sample_period_s = {period_s:.6g}")
    for column in columns:
        lines += [
            "",
            f"[signals.{key(column.name)}]",
            f"unit = {quoted(column.unit)}",
            'meaning = ""',
            f"# seen from {column.low:.6g} to {column.high:.6g}; if that was all in order:",
            f"# normal = [{column.low:.6g}, {column.high:.6g}]",
        ]
    return "\n".join(lines) + "\n" + EXAMPLE
