"""The annotated settings file, written from the models themselves so that it cannot drift."""

from __future__ import annotations

import textwrap

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edge_agent.config.settings import Settings
from edge_agent.config.toml_text import value

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
        default = getattr(section, name)
        if isinstance(default, BaseModel):
            inner += ["", *_described(field), *_table(f"{path}.{name}", default)]
        elif isinstance(default, tuple) and default and isinstance(default[0], BaseModel):
            inner += ["", *_described(field)]
            for item in default:
                inner += _table(f"{path}.{name}", item, array=True)
        else:
            shown = '""   # not set' if default is None else value(default)
            lines += [*_described(field), f"#{name} = {shown}"]
    return [*lines, *inner, ""]


def _described(field: FieldInfo) -> list[str]:
    text = " ".join((field.description or "").split())
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH - 2)]
