"""What a trained reader scores on the cards that it never saw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from edge_agent.diagnose.fault_reading import AnswerKind
from training.calibrate import fitted
from training.evaluate import Read, Rows, Score, evaluate
from training.generate import cards, source
from training.reading import Card
from training.shipped import score, shipped_cards

SETS: Mapping[str, tuple[bool, bool]] = {
    "unseen machines, known phrasings": (True, False),
    "unseen machines and phrasings": (True, True),
}
WRITTEN: Mapping[str, bool] = {"shipped cards": False, "public cards": True}
"""Cards that people wrote."""
TEST_SEED = 1_000_003
TEST_SEEDS = (TEST_SEED, 2_000_003, 3_000_017)
"""Test cards are drawn by these seeds, training cards by others."""
FITTING_SEED = 5_000_011
"""Of the cards that the temperatures are fitted on: unseen machines, known phrasings."""


def temperatures(read: Read, count: int) -> dict[AnswerKind, float]:
    """By kind of answer, fitted on ``count`` cards of unseen machines with known phrasings."""
    return fitted(list(islice(cards(source(held_machines=True), FITTING_SEED), count)), read)


def figures(
    read: Read, per_set: int, equipment: Path, seeds: Sequence[int] = TEST_SEEDS
) -> dict[str, Any]:
    """Scores on the held-out sets, ``per_set`` cards for each of ``seeds``, and on the cards that
    people wrote."""
    found: dict[str, Any] = {}
    for name, (machines, phrases) in SETS.items():
        origin = source(held_machines=machines, held_phrases=phrases)
        drawn = [list(islice(cards(origin, seed), per_set)) for seed in seeds]
        once = _remembered(read)
        each = [evaluate(some, once) for some in drawn]
        result = evaluate([card for some in drawn for card in some], once)
        found[name] = {
            **asdict(result),
            "of_oracle": result.of_oracle,
            "error": error(result),
            "by_seed": {
                "cell_accuracy": [one.cell_accuracy for one in each],
                "of_oracle": [one.of_oracle for one in each],
                "ece": [one.ece for one in each],
            },
        }
    for name, public in WRITTEN.items():
        found[name] = asdict(score(shipped_cards(equipment, public=public), read))
    return found


def _remembered(read: Read) -> Read:
    """``read``, but no card is read twice."""
    known: dict[int, Rows] = {}

    def one(card: Card) -> Rows:
        if id(card) not in known:
            known[id(card)] = read(card)
        return known[id(card)]

    return one


def error(result: Score) -> float:
    """Standard error of the cells' accuracy."""
    share = result.cell_accuracy
    return math.sqrt(share * (1 - share) / max(1, result.cells))


def flat(found: Mapping[str, Any]) -> dict[str, float]:
    """The few figures that the manifest carries."""
    unseen = found["unseen machines and phrasings"]
    known = found["unseen machines, known phrasings"]
    return {
        "cell_accuracy": round(unseen["cell_accuracy"], 3),
        "mentioned_accuracy": round(unseen["mentioned_accuracy"], 3),
        "fault_of_oracle": round(unseen["of_oracle"], 3),
        "ece": round(unseen["ece"], 3),
        "ece_known_phrasings": round(known["ece"], 3),
        "cell_accuracy_known_phrasings": round(known["cell_accuracy"], 3),
        "shipped_cell_accuracy": round(found["shipped cards"]["cell_accuracy"], 3),
        "public_cell_accuracy": round(found["public cards"]["cell_accuracy"], 3),
    }


def as_markdown(report: Mapping[str, Any]) -> str:
    """The report as tables."""
    lines = ["# Adapter report", ""]
    run = report["run"]
    for earlier in report.get("earlier", []):
        lines += [
            f"After a run of {earlier['tokens']} tokens, last loss {earlier['loss']:.3f}:",
            "",
        ]
    lines += [
        f"{run['tokens']} tokens in {run['seconds'] / 60:.0f} minutes, {run['step']} steps, "
        f"last loss {run['loss']:.3f}.",
        "",
        "| cards | cells | right | of mentioned | speed | fault top-1 | perfect reading | ECE |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for reader in ("adapter", "zero-shot"):
        for name in SETS:
            row = report.get(reader, {}).get(name)
            if row:
                lines.append(_row(f"{reader}, {name}", row))
    for reader in ("adapter", "zero-shot"):
        for name in WRITTEN:
            row = report.get(reader, {}).get(name)
            if row:
                right = f"{row['cell_accuracy']:.3f} | {row['mentioned_accuracy']:.3f}"
                lines.append(f"| {reader}, {name} | {row['cells']} | {right} | | | | |")
    if "temperatures" in report:
        told = ", ".join(f"{kind} {value}" for kind, value in report["temperatures"].items())
        lines += ["", f"Temperatures of the answers: {told}."]
    for name in SETS:
        by_seed = report.get("adapter", {}).get(name, {}).get("by_seed")
        if by_seed:
            told = "; ".join(
                f"{figure} {', '.join(f'{value:.3f}' for value in values)}"
                for figure, values in by_seed.items()
            )
            lines += ["", f"By seed of the test, {name}: {told}."]
    if "parity" in report:
        parity = report["parity"]
        lines += [
            "",
            f"llama.cpp with the exported adapter against torch: {parity['agree']:.3f} of "
            f"{parity['questions']} answers agree, mean difference {parity['mean']:.3f}; right "
            f"{parity['right']:.3f} against {parity['right_torch']:.3f}.",
        ]
    lines += _curve(run["curve"])
    if "ablation" in report:
        lines += ["", *ablation_table(report["ablation"])]
    return "\n".join(lines) + "\n"


def _curve(curve: Sequence[tuple[int, float]]) -> list[str]:
    if not curve:
        return []
    rows = [f"| {tokens} | {loss:.3f} |" for tokens, loss in curve]
    return ["", "| tokens | loss |", "|---|---|", *rows]


def _row(name: str, row: Mapping[str, Any]) -> str:
    keys = ("mentioned_accuracy", "speed_accuracy", "fault_top1", "oracle_top1", "ece")
    rest = " | ".join(f"{row[key]:.3f}" for key in keys)
    return f"| {name} | {row['cells']} | {row['cell_accuracy']:.3f} ± {row['error']:.3f} | {rest} |"


def ablation_table(arms: list[Mapping[str, Any]]) -> list[str]:
    """One line per arm."""
    lines = [
        "| stage | cells right | of those mentioned | fault top-1 | shipped cards |",
        "|---|---|---|---|---|",
    ]
    for arm in arms:
        right = f"{arm['cell_accuracy']:.3f} ± {arm['error']:.3f}"
        keys = ("mentioned_accuracy", "fault_top1", "shipped_accuracy")
        rest = " | ".join(f"{arm[key]:.3f}" for key in keys)
        lines.append(f"| {arm['name']} | {right} | {rest} |")
    return lines
