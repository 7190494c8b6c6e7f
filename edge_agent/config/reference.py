"""The annotated settings file, written from the models themselves so that it cannot drift."""

from __future__ import annotations

import textwrap
from enum import Enum
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edge_agent.config.settings import Settings

_WIDTH = 96

_HEADER = """\
# edge-agent: annotated settings.
#
# Every key with its default, commented out (`#key = value`): uncomment what you change. Unknown
# keys and wrong values are refused with exit code 78. `edge-agent config validate FILE` checks a
# file, `edge-agent config reference` prints this one. Secrets go into files of their own.
"""


def annotated_toml() -> str:
    """The reference document: one table per section, each key under its description."""
    lines = [_HEADER]
    for name, field in Settings.model_fields.items():
        lines += _table(name, field.default)
    return "\n".join(lines).rstrip() + "\n"


def _table(path: str, section: BaseModel, *, array: bool = False) -> list[str]:
    head = f"[[{path}]]" if array else f"[{path}]"
    lines = [f"{'# ' if array else ''}{head}"]
    inner: list[str] = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            inner += ["", *_described(field), *_table(f"{path}.{name}", value)]
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            inner += ["", *_described(field)]
            for item in value:
                inner += _table(f"{path}.{name}", item, array=True)
        else:
            lines += [*_described(field), f"#{name} = {_toml(value)}"]
    return [*lines, *inner, ""]


def _described(field: FieldInfo) -> list[str]:
    text = " ".join((field.description or "").split())
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH - 2)]


def _toml(value: object) -> str:  # noqa: PLR0911 - one per type
    match value:
        case None:
            return '""   # not set'
        case bool():
            return "true" if value else "false"
        case Enum():
            return f'"{value.value}"'
        case int() | float():
            return str(value)
        case str() | Path():
            return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
        case tuple() | list() | frozenset():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case dict():
            pairs = (f"{_toml(key)} = {_toml(item)}" for key, item in value.items())
            return "{ " + ", ".join(pairs) + " }" if value else "{}"
    raise TypeError(f"no TOML form for {value!r}")
