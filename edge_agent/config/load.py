"""From a TOML file to ``Settings``, or to an error that names file, key, value and remedy."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from edge_agent.config.settings import Settings
from edge_agent.errors import BadConfig

Model = TypeVar("Model", bound=BaseModel)


def load_settings(path: Path) -> Settings:
    """Read ``path``; relative paths inside are taken from its folder. Raises ``BadConfig``."""
    document = read_toml(path)
    settings = parse_settings(document, where=str(path))
    return resolve_paths(settings, path.resolve().parent)


def parse_settings(document: Mapping[str, Any], *, where: str) -> Settings:
    """Check a document already parsed; ``where`` names it in errors."""
    return validate(Settings, document, where=where)


def read_toml(path: Path) -> dict[str, Any]:
    """The file's tables. Raises ``BadConfig`` if it is absent, unreadable or no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadConfig(f"{path}: no such file; name an existing one with --config") from None
    except UnicodeDecodeError as error:
        raise BadConfig(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise BadConfig(f"{path}: cannot be read: {error.strerror}") from error


def validate(model: type[Model], document: Mapping[str, Any], *, where: str) -> Model:
    """``document`` as ``model``; a ``BadConfig`` lists every fault with key, value and what is
    allowed."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise BadConfig("\n".join(f"{where}: {line}" for line in _explain(model, error))) from None


def _explain(model: type[BaseModel], error: ValidationError) -> list[str]:
    lines = []
    for fault in error.errors(include_url=False):
        key = ".".join(str(part) for part in fault["loc"]) or "document"
        if fault["type"] == "extra_forbidden":
            allowed = _siblings(model, fault["loc"])
            meant = difflib.get_close_matches(str(fault["loc"][-1]), allowed, n=1)
            hint = f"did you mean {meant[0]}? " if meant else ""
            lines.append(f"{key}: unknown key; {hint}allowed here: {', '.join(allowed)}")
            continue
        found = "" if fault["type"] == "missing" else f" (found {_short(fault['input'])})"
        lines.append(f"{key}: {fault['msg'].removeprefix('Value error, ')}{found}")
    return lines


def _siblings(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that the section around ``loc`` knows."""
    node: type[BaseModel] | None = model
    for part in loc[:-1]:
        if node is None or not isinstance(part, str):
            continue
        field = node.model_fields.get(part)
        node = _section_of(field.annotation) if field else None
    return sorted(node.model_fields) if node else []


def _section_of(annotation: object) -> type[BaseModel] | None:
    """The model inside an annotation such as ``tuple[SourceSection, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _section_of(inner)
        if found is not None:
            return found
    return None


def _short(value: object) -> str:
    """A value for an error line: never long, never a whole document."""
    if isinstance(value, Mapping):
        return "a table"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def resolve_paths(settings: Settings, base: Path) -> Settings:
    """Make the relative paths of ``settings`` absolute, seen from ``base``."""
    document = settings.model_dump(exclude_unset=True)

    def walk(model: BaseModel, node: dict[str, Any]) -> None:
        for name in type(model).model_fields:
            value = getattr(model, name)
            if isinstance(value, BaseModel):
                walk(value, node.setdefault(name, {}))
            elif isinstance(value, Path) and not value.is_absolute():
                node[name] = base / value

    walk(settings, document)
    return Settings.model_validate(document)
