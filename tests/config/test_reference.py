"""The annotated settings file is what the models say, and it is valid."""

from __future__ import annotations

import tomllib

from plant import REPOSITORY
from pydantic import BaseModel

from edge_agent.config import Settings, parse_settings
from edge_agent.config.reference import annotated_toml

FILE = REPOSITORY / "configs" / "edge-agent.toml"


def test_the_shipped_file_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == annotated_toml(), (
        "run: edge-agent config reference > configs/edge-agent.toml"
    )


def test_the_shipped_file_changes_nothing() -> None:
    document = tomllib.loads(FILE.read_text(encoding="utf-8"))
    assert parse_settings(document, where="reference") == Settings()


def test_every_key_is_described() -> None:
    for name, field in Settings.model_fields.items():
        section = type(field.default)
        for key, inner in section.model_fields.items():
            is_section = isinstance(inner.default, BaseModel)
            assert is_section or inner.description, f"{name}.{key} has no description"


def test_every_commented_key_can_be_uncommented() -> None:
    lines = [
        line.removeprefix("#") if line.startswith("#") and line[1:2].isalpha() else line
        for line in annotated_toml().splitlines()
    ]
    kept = [line for line in lines if "# not set" not in line]
    text = "\n".join(line.removeprefix("# ") if line.startswith("# [[") else line for line in kept)
    assert parse_settings(tomllib.loads(text), where="reference") == Settings()
