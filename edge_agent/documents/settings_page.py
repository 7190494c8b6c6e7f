"""``docs/settings.md``. Pure."""

from __future__ import annotations

import re
import typing
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edge_agent.config import toml_text
from edge_agent.config.settings import Settings
from edge_agent.documents.markdown import NOTE, cell, one_line
from edge_agent.rollout.document import PINNED_KEYS, RESTART_KEYS

SETTINGS_INTRO = """
# Settings

One TOML file, `/etc/edge-agent/edge-agent.toml`. Every key has a default; unknown keys and wrong
values are refused with exit code 78 and a line that names the key, what was found and what may be.
`edge-agent config reference` prints the same as an annotated file.

**R**: a change takes effect by a restart in place, which the agent does itself; all other keys are
applied while it runs. **L**: only the gateway's own file sets it, never a push
([remote-configuration.md](remote-configuration.md)).
"""


def settings_page() -> str:
    """The settings reference."""
    lines = [NOTE + SETTINGS_INTRO]
    for name, field in Settings.model_fields.items():
        lines += _section(name, field.default)
    return "\n".join(lines).rstrip() + "\n"


def _section(path: str, section: BaseModel, *, many: bool = False) -> list[str]:
    about = one_line((type(section).__doc__ or "").strip().split("\n\n")[0])
    about = re.sub(r"^`\[.*?\]`: ", "", about)
    head = f"[[{path}]]" if many else f"[{path}]"
    lines = [f"## `{head}`", "", about[:1].upper() + about[1:], ""]
    lines += ["| key | type | default | | meaning |", "|---|---|---|---|---|"]
    inner: list[str] = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            inner += _section(f"{path}.{name}", value)
            continue
        nested = _model_inside(field.annotation)
        if nested is not None:
            inner += _section(f"{path}.{name}", _example(nested), many=True)
            default = f"{len(value)} tables, see below" if value else "none"
        else:
            default = f"`{toml_text.value(value)}`" if value is not None else "not set"
        key = f"{path}.{name}"
        marks = "".join(
            letter
            for letter, keys in (("R", RESTART_KEYS), ("L", PINNED_KEYS))
            if any(key == one or key.startswith(f"{one}.") for one in keys)
        )
        meaning = cell(field.description or "")
        lines.append(f"| `{name}` | {_type(field)} | {cell(default)} | {marks} | {meaning} |")
    return [*lines, "", *inner]


def _example(model: type[BaseModel]) -> BaseModel:
    """A section that stands in a list, with its defaults."""
    return model.model_construct(
        **{name: None for name, field in model.model_fields.items() if field.is_required()}
    )


def _model_inside(annotation: object) -> type[BaseModel] | None:
    for inner in typing.get_args(annotation):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return None


def _type(field: FieldInfo) -> str:
    text = _type_name(field.annotation)
    low = high = None
    for rule in field.metadata:
        if isinstance(rule, annotated_types.Ge | annotated_types.Gt):
            low = f"{'≥' if isinstance(rule, annotated_types.Ge) else '>'} {_bound(rule)}"
        if isinstance(rule, annotated_types.Le | annotated_types.Lt):
            high = f"{'≤' if isinstance(rule, annotated_types.Le) else '<'} {_bound(rule)}"
    return ", ".join(part for part in (text, low, high) if part)


def _bound(rule: object) -> str:
    value = next(getattr(rule, key) for key in ("ge", "gt", "le", "lt") if hasattr(rule, key))
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else f"{value:g}"


def _type_name(annotation: Any) -> str:  # noqa: ANN401, PLR0911 - one per kind
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type_name(inside[0])
    if origin is typing.Literal:
        return " \\| ".join(f"`{value}`" for value in inside)
    if origin in (typing.Union, UnionType):
        return " \\| ".join(_type_name(one) for one in inside if one is not type(None))
    if origin in (tuple, list, frozenset):
        return f"list of {_type_name(inside[0])}"
    if origin is dict:
        return "table"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " \\| ".join(f"`{one.value}`" for one in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    names = {str: "text", int: "whole number", float: "number", bool: "true/false", Path: "path"}
    return names.get(annotation, getattr(annotation, "__name__", "any"))
