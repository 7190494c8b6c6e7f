"""Machine types: what each measures and what of it can fail."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

from training.phrases import DATA


@dataclass(frozen=True, slots=True)
class Machine:
    """One type. A signal is named as an engineer would: ``"bearing temperature"``."""

    name: str
    signals: tuple[str, ...]
    parts: tuple[str, ...]


def machines(held: bool) -> tuple[Machine, ...]:
    """The types to train on, or with ``held`` the others."""
    raw = tomllib.loads((DATA / "machines.toml").read_text(encoding="utf-8"))
    return tuple(
        Machine(name, tuple(signals.split("; ")), tuple(parts.split("; ")))
        for name, (signals, parts) in raw["held" if held else "train"].items()
    )
