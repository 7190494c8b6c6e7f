"""Equipment cards from files: a folder of TOML cards, or a data set's ``equipment.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_agent.config.load import read_toml, validate
from edge_agent.diagnose.compiled import SUFFIX, load_compiled, table_path, with_readings
from edge_agent.diagnose.inheritance import inherited
from edge_agent.domain.card import Card, matches
from edge_agent.errors import BadConfig

TYPE_FOLDERS = ("library", "public")
"""Folders of types, below the folder of cards."""
CARD_KB = 512
"""A larger file is no equipment card."""
SHOWN = 8
"""Names that a sentence lists at most."""
_UNIT = re.compile(r"\[([^\]]{1,32})\]")


def load_card(path: Path) -> Card:
    """A ``.toml`` card with the table read out of its texts where that lies beside it, or an
    ``equipment.json`` as a minimal one. Raises ``BadConfig``."""
    if path.is_file() and path.stat().st_size > CARD_KB * 1024:
        raise BadConfig(f"{path}: larger than {CARD_KB} KB; this is no equipment card")
    if path.suffix == ".json":
        return validate(Card, _minimal(path), where=str(path))
    card = _card(read_toml(path), path.parent, str(path))
    return with_readings(card, load_compiled(table_path(path)))


def _card(document: Mapping[str, Any], folder: Path, where: str) -> Card:
    """The card of a document, with what its type gives it; types lie below ``folder``."""

    def type_of(name: str) -> dict[str, Any]:
        for place in TYPE_FOLDERS:
            if (folder / place / f"{name}.toml").is_file():
                return read_toml(folder / place / f"{name}.toml")
        known = sorted(
            path.stem
            for place in TYPE_FOLDERS
            for path in (folder / place).glob("*.toml")
            if not path.name.endswith(SUFFIX)
        )
        raise BadConfig(
            f"{where}: type: no type {name!r} in {folder / TYPE_FOLDERS[0]}; there are: "
            f"{', '.join(known) or 'none'}"
        )

    return validate(Card, inherited(document, type_of, where), where=where)


def _minimal(path: Path) -> dict[str, Any]:
    """``columns`` become signals with the unit in brackets, ``fault_catalogue`` becomes faults."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadConfig(f"{path}: cannot be read as JSON: {error}") from None
    columns = document.get("columns", {}) if isinstance(document, dict) else None
    if not isinstance(columns, dict) or not ({"columns", "fault_catalogue"} & document.keys()):
        raise BadConfig(
            f"{path}: an object with `columns` (name → meaning [unit]) or `fault_catalogue` "
            "(name → description) is expected"
        )
    signals = {}
    for name, text in columns.items():
        unit = _UNIT.search(str(text))
        meaning = _UNIT.sub("", str(text)).strip()
        signals[name] = {"unit": unit[1] if unit else "", "meaning": meaning[:300]}
    period = document.get("sample_period_s")
    catalogue = document.get("fault_catalogue") or {}
    faults = [
        {"id": name, "title": name.replace("_", " "), "description": str(text)}
        for name, text in (catalogue.items() if isinstance(catalogue, dict) else ())
    ]
    return {
        "equipment": str(document.get("equipment", path.parent.name)),
        "description": str(document.get("description", "")),
        # Several recordings may have a period each; then it is learned.
        "sample_period_s": period if isinstance(period, (int, float)) else None,
        "signals": signals,
        "faults": faults,
    }


class CardLibrary:
    """The cards of one folder. The most specific pattern that matches a machine wins."""

    def __init__(self, cards: Sequence[Card]) -> None:
        self.cards = tuple(sorted(cards, key=lambda card: -len(card.equipment.replace("*", ""))))

    @classmethod
    def load(
        cls, folder: Path, pushed: Mapping[str, Mapping[str, Any]] | None = None
    ) -> CardLibrary:
        """Every ``*.toml`` in ``folder``; an absent folder holds none. ``pushed``: cards as tables,
        which stand in for files of the same ``equipment``. Raises ``BadConfig`` for a card that is
        wrong and for two cards with the same ``equipment``."""
        found: dict[str, tuple[Path | None, Card]] = {}
        for name, table in (pushed or {}).items():
            card = _card(table, folder, f"diagnose.pushed_cards.{name}")
            if card.equipment in found:
                raise BadConfig(
                    f"diagnose.pushed_cards.{name}: equipment = {card.equipment!r} stands twice;"
                    " remove one of them"
                )
            found[card.equipment] = (None, card)
        for path in sorted(folder.glob("*.toml")):
            if path.name.endswith(SUFFIX):
                continue
            card = load_card(path)
            other, _ = found.get(card.equipment, (None, card))
            if other is not None:
                raise BadConfig(
                    f"{path}: equipment = {card.equipment!r} is described by {other} already; "
                    "remove one of them"
                )
            found.setdefault(card.equipment, (path, card))
        return cls([card for _, card in found.values()])

    def for_equipment(self, name: str) -> Card | None:
        """The card of the machine called ``name``, or None."""
        return next((card for card in self.cards if card.matches(name)), None)


def idle_cards(pushed: Mapping[str, Mapping[str, Any]], machines: Sequence[str]) -> list[str]:
    """A sentence for each pushed card that describes none of the ``machines`` whose telemetry came
    so far."""
    there = ", ".join(sorted(machines)[:SHOWN]) or "none"
    names = {name: str(table.get("equipment", "")) for name, table in pushed.items()}
    return [
        f"diagnose.pushed_cards.{name}: no telemetry of {equipment!r} has come; machines heard"
        f" of: {there}{' …' if len(machines) > SHOWN else ''}"
        for name, equipment in names.items()
        if not any(matches(equipment, machine) for machine in machines)
    ]


def card_schema_text() -> str:
    """JSON Schema of a card as an engineer writes it: types and their keys included."""
    schema = Card.model_json_schema()
    signal = schema["$defs"]["CardSignal"]["properties"]
    signal["is"] = {"type": "string", "description": "The type's signal that this one is."}
    schema["properties"]["without"] = {
        "type": "array",
        "items": {"type": "string"},
        "description": "Faults of the type that this machine cannot have.",
    }
    schema["title"] = "Equipment card of edge-agent"
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
