"""The phrase banks, for training or held out, and a phrase's forms. Pure but for reading them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
DIRECTIONS = ("up", "down", "same", "noisy", "stuck")
_FORMS = re.compile(r"\[([^\[\]]*)\]")
_FULL = {"s": ("s", "", ""), "es|": ("es", "", "")}


class Form(IntEnum):
    """Which form of a phrase: after one thing, several things, or a helper verb."""

    ONE = 0
    SEVERAL = 1
    BARE = 2


def inflect(phrase: str, form: Form) -> str:
    """``"[is|are|be] low"`` → ``"is low"``, ``"are low"`` or ``"be low"``."""

    def choose(match: re.Match[str]) -> str:
        body = str(match.group(1))
        forms: tuple[str, ...] = _FULL.get(body) or tuple(body.split("|"))
        return forms[min(form, len(forms) - 1)]

    return _FORMS.sub(choose, phrase)


@dataclass(frozen=True, slots=True)
class Bank:
    """All phrases of one side of the split; each entry of ``ways`` by direction."""

    ways: Mapping[str, Mapping[str, Sequence[str]]]
    hedges: Mapping[str, Sequence[str]]
    speeds: Mapping[str, Mapping[str, Sequence[str]]]
    text: Mapping[str, Sequence[str]]
    quantities: Mapping[str, Mapping[str, Sequence[str]]]
    """Quantity → ``names``, ``words``, ``alone`` (words for the only signal of its quantity), and
    by direction what is said of its place."""

    def quantity(self, label: str) -> str:
        """Which quantity a label names: ``"bearing temperature"`` → ``"temperature"``, or empty."""
        best, where = "", -1
        for quantity, entry in self.quantities.items():
            for name in entry["names"]:
                at = label.lower().rfind(name)
                if at > where:
                    best, where = quantity, at
        return best


def load(held: bool) -> Bank:
    """The training phrases, or with ``held`` those that are never trained on."""
    raw = tomllib.loads((DATA / "phrases.toml").read_text(encoding="utf-8"))

    def side(table: Mapping[str, Any]) -> dict[str, Sequence[str]]:
        chosen = table["held"] if held else table
        return {key: value for key, value in chosen.items() if isinstance(value, list)}

    ways = {way: side(raw[way]) for way in DIRECTIONS}
    text = {**raw["text"], **raw["text"]["held"]} if held else raw["text"]
    quantities = {}
    for name, entry in raw["quantity"].items():
        up = entry["held_up"] if held else entry["up"]
        down = entry["held_down"] if held else entry["down"]
        quantities[name] = {
            "names": entry["names"],
            "words": entry["words"],
            "alone": entry.get("alone", entry["words"]),
            "up": up,
            "down": down,
            "same": [] if held else entry["same"],
        }
    return Bank(
        ways,
        side(raw["hedges"]),
        {speed: side(raw["speed"][speed]) for speed in ("slow", "sudden")},
        {key: value for key, value in text.items() if isinstance(value, list)},
        quantities,
    )
