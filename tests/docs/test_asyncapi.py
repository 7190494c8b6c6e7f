"""``docs/asyncapi.yaml`` is AsyncAPI 3.0 by the specification's own JSON Schema."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest
import yaml
from plant import REPOSITORY
from tools import file

Document = dict[str, Any]


@pytest.fixture(scope="module")
def official() -> jsonschema.Draft7Validator:
    schema = json.loads(file("asyncapi/schemas/3.0.0.json").read_text())
    return jsonschema.Draft7Validator(schema)


@pytest.fixture(scope="module")
def ours() -> Document:
    found: Document = yaml.safe_load((REPOSITORY / "docs" / "asyncapi.yaml").read_text())
    return found


def test_the_document_is_valid(official: jsonschema.Draft7Validator, ours: Document) -> None:
    assert ours["asyncapi"] == "3.0.0"
    assert [f"{one.json_path}: {one.message}" for one in official.iter_errors(ours)] == []


@pytest.mark.parametrize(
    "path",
    [
        ("channels", "status", "adress"),
        ("operations", "no-action"),
        ("servers", "broker", "port"),
        ("components", "message"),
    ],
    ids=".".join,
)
def test_the_schema_finds_what_is_misspelt(
    official: jsonschema.Draft7Validator, ours: Document, path: tuple[str, ...]
) -> None:
    wrong = copy.deepcopy(ours)
    node = wrong
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = {}
    assert list(official.iter_errors(wrong))


def test_every_reference_leads_somewhere(ours: Document) -> None:
    """A JSON Schema does not follow them."""
    references = list(_references(ours))
    assert len(references) > 20
    for reference in references:
        place, _, pointer = reference.partition("#")
        assert not place or (REPOSITORY / "docs" / place).is_file(), reference
        node: Any = json.loads((REPOSITORY / "docs" / place).read_text()) if place else ours
        for step in filter(None, pointer.split("/")):
            node = node[step.replace("~1", "/").replace("~0", "~")]


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return here + [one for value in node.values() for one in _references(value)]
    if isinstance(node, list):
        return [one for value in node for one in _references(value)]
    return []
