"""``[diagnose]``: equipment cards, and when and how a diagnosis is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from edge_agent.config.section import Section


class DiagnoseSection(Section):
    """Diagnosis."""

    cards: Path = Path("equipment")
    """Folder of equipment cards (TOML); relative to the settings file."""
    pushed_cards: dict[str, dict[str, Any]] = Field(default={}, max_length=100)
    """Cards by a name of your choice, as tables: how cards come from afar. One whose ``equipment``
    a file describes as well stands in for that file."""
    settle_s: float = Field(default=20.0, ge=0, le=3600)
    """Source time between the opening of an incident and its first diagnosis, seconds: early
    evidence is thin. The incident itself is published at once."""
    attempts: int = Field(default=3, ge=1, le=10)
    """Tries at one job before it is quarantined and the rules' answer stands alone."""
    per_incident: int = Field(default=3, ge=1, le=100)
    """Diagnoses of one incident at most: a picture that changes is diagnosed again."""
    deadline_s: float = Field(default=180.0, ge=1, le=86_400)
    """Longest time for one attempt of the model, seconds."""
    expire_s: float = Field(default=86_400.0, ge=60)
    """A job that could not start within this time is answered by the rules, seconds."""
    max_tokens: int = Field(default=160, ge=16, le=4096)
    """Answer tokens at most; the governor may allow fewer."""
    language: str = Field(default="en", pattern=r"^[a-z]{2,3}$")
    """Language of explanations: code composes and checks ``en`` and ``de``; with another, sentences
    are English and only what cards translate (``translations``) is in it."""
    manuals: Path | None = None
    """Folder of manuals (``.md``, ``.txt``), searched for passages on the likeliest fault; absent:
    only the passages on the cards."""
    manual_chars: int = Field(default=600, ge=0, le=4000)
    """So much of the manuals goes into a prompt and a result at most; 0: none."""
    instructions: str = Field(default="", max_length=1000)
    """Added to the system text of every prompt, for a model that can follow it: the plant's own
    words, what to mention. What the model writes is checked against the evidence as before."""
    undetermined_below: float = Field(default=0.35, ge=0, le=1)
    """A best fault less probable than this is published as ``undetermined``."""
