"""The symptom table that a model read out of a card's texts, as it lies beside the card.

``pump.toml`` has ``pump.symptoms.toml``: made once by ``edge-agent card compile``, looked over by
the engineer, read at every start. An entry counts while its text (with the signals' labels, which
were part of the question) is the one that was read. Pure but for the file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import structlog
from pydantic import Field, ValidationError

from edge_agent.config.section import Section
from edge_agent.config.toml_text import key, quoted, value
from edge_agent.diagnose.fault_reading import reading_prefix
from edge_agent.domain.card import Card, CardFault, CellReading
from edge_agent.errors import BadConfig

log = structlog.get_logger(__name__)

SUFFIX = ".symptoms.toml"
LARGEST = 4_000_000
LABEL_CHARS = 48
PLAIN_NAME = re.compile(r"[a-z]{3,}(_[a-z0-9]+)*")
LEAST_KEPT = 0.005
"""Smaller probabilities are not written."""


class Reader(Section):
    """Which model read the texts."""

    model: str
    model_sha256: str
    adapter: str = ""
    adapter_sha256: str = ""
    reliability: float | None = None
    """Share of cells that this reader gets right on machines that it has never seen, as its
    adapter's manifest states it; absent: never measured."""


class FaultReading(Section):
    """What one fault's text says."""

    text_sha256: str
    speed: dict[str, float] = {}
    """``slow``, ``sudden``, ``none`` → probability."""
    signals: dict[str, CellReading] = {}
    """Signal → word → probability; or a symptom word, where a person set it."""


class CompiledCard(Section):
    """The whole file."""

    format: int = Field(default=1, ge=1, le=1)
    reader: Reader
    faults: dict[str, FaultReading] = Field(default={}, max_length=500)


def labels_of(card: Card) -> dict[str, str]:
    """Signal → how it is called in the question: its name where that is plain words
    (``bearing_temperature``); of a code (``XMEAS(9)``) the meaning up to the first comma or
    bracket. Made unique by the name."""
    found: dict[str, str] = {}
    for name, signal in card.signals.items():
        if signal.called:
            found[name] = _unique(signal.called, name, found)
            continue
        said = re.split(r"[,;(\[]", signal.meaning, maxsplit=1)[0].strip(" .").lower()
        plain = PLAIN_NAME.fullmatch(name) or not 0 < len(said) <= LABEL_CHARS
        label = name.replace("_", " ") if plain else said
        found[name] = _unique(label, name, found)
    return found


def _unique(label: str, name: str, found: Mapping[str, str]) -> str:
    return f"{name} {label}" if label in found.values() else label


def text_sha256(card: Card, fault: CardFault) -> str:
    """Hash of all that the answers about ``fault`` depend on, the model aside."""
    text = reading_prefix(list(labels_of(card).values()), fault.description)
    return sha256(text.encode()).hexdigest()


def table_path(card: Path) -> Path:
    """Where the table of the card in that file lies."""
    return card.with_suffix(SUFFIX)


def load_compiled(path: Path) -> CompiledCard | None:
    """The table at ``path``; None where there is none. Raises ``BadConfig``."""
    try:
        if path.stat().st_size > LARGEST:
            raise BadConfig(
                f"{path}: larger than {LARGEST // 1_000_000} MB; compile the card again"
            )
        return CompiledCard.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise BadConfig(
            f"{path}: {error}; correct it, or make it anew with `edge-agent card compile`"
        ) from None


def with_readings(card: Card, compiled: CompiledCard | None) -> Card:
    """``card`` with what was read of its texts; entries whose text has changed are left out."""
    if compiled is None:
        return card
    faults, stale = [], []
    for fault in card.faults:
        entry = compiled.faults.get(fault.id)
        if entry is not None and entry.text_sha256 == text_sha256(card, fault):
            known = {name: cell for name, cell in entry.signals.items() if name in card.signals}
            faults.append(fault.model_copy(update={"read": known, "read_speed": entry.speed}))
            continue
        if entry is not None:
            stale.append(fault.id)
        faults.append(fault)
    if stale:
        remedy = "run `edge-agent card compile` again"
        log.warning("card_texts_changed", card=card.equipment, faults=stale, remedy=remedy)
    return card.model_copy(update={"faults": tuple(faults)})


def as_toml(compiled: CompiledCard, card: str) -> str:
    """The file's text, made for a person to look over and edit."""
    reader = compiled.reader
    lines = [
        f"# Read out of {card} by {reader.model}"
        f"{f' with {reader.adapter}' if reader.adapter else ''}.",
        "# Each cell: the words that the text may say of a signal, with their probabilities.",
        '# To set a cell yourself, write the symptom: flow = "falls". Formal symptoms of the card',
        "# win over it. `edge-agent card compile` keeps your cells while their text stays.",
        "format = 1",
        "",
        "[reader]",
        *(
            f"{name} = {value(fact)}"
            for name, fact in reader.model_dump().items()
            if fact is not None
        ),
    ]
    for fault, entry in compiled.faults.items():
        lines += ["", f"[faults.{key(fault)}]", f'text_sha256 = "{entry.text_sha256}"']
        lines.append(f"speed = {_inline(entry.speed)}")
        lines.append(f"[faults.{key(fault)}.signals]")
        for signal, cell in entry.signals.items():
            said = quoted(cell) if isinstance(cell, str) else _inline(cell)
            lines.append(f"{key(signal)} = {said}")
    return "\n".join(lines) + "\n"


def _inline(cell: Mapping[Any, float]) -> str:
    likely = sorted(cell.items(), key=lambda pair: -pair[1])
    kept = [f"{word} = {p:.3f}" for word, p in likely if p >= LEAST_KEPT]
    return "{ " + ", ".join(kept) + " }"
