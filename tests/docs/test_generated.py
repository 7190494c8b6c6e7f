"""The parts of docs/ that are written by the program are those of this program."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
import yaml
from plant import REPOSITORY

from edge_agent.cli import app
from edge_agent.config.settings import Settings
from edge_agent.messages import TOPICS, commands

DOCS = REPOSITORY / "docs"


def test_nothing_is_out_of_date() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/make_docs.py", "--check"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_is_described() -> None:
    text = (DOCS / "settings.md").read_text()
    sections = dict(re.findall(r"(?ms)^## `\[+([a-z_.]+)\]+`\n(.*?)(?=^## |\Z)", text))
    for name, field in Settings.model_fields.items():
        for key in type(field.default).model_fields:
            assert f"| `{key}` |" in sections[name] or f"{name}.{key}" in sections, key
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 120
    assert all(len(re.split(r"(?<!\\)\|", row)) == 7 for row in rows)
    assert all(re.split(r"(?<!\\)\|", row)[5].strip() for row in rows)


@pytest.mark.parametrize("path", sorted((DOCS / "schemas").glob("*.json")), ids=lambda p: p.stem)
def test_schemas_are_schemas(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))


# The shape of an AsyncAPI 3.0 document as far as ours goes. The whole official schema (npm package
# @asyncapi/specs, schemas/3.0.0.json) accepts the file as well; it is not among our dependencies.
REFERENCE = {
    "type": "object",
    "properties": {"$ref": {"type": "string", "pattern": "^#/"}},
    "required": ["$ref"],
    "additionalProperties": False,
}
ASYNCAPI = {
    "type": "object",
    "required": ["asyncapi", "info", "servers", "channels", "operations", "components"],
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "info": {"required": ["title", "version"]},
        "servers": {"additionalProperties": {"required": ["host", "protocol"]}},
        "channels": {
            "additionalProperties": {
                "required": ["address", "messages", "parameters"],
                "properties": {"messages": {"additionalProperties": REFERENCE}},
            }
        },
        "operations": {
            "additionalProperties": {
                "required": ["action", "channel"],
                "properties": {"action": {"enum": ["send", "receive"]}, "channel": REFERENCE},
            }
        },
        "components": {
            "properties": {
                "messages": {
                    "additionalProperties": {
                        "required": ["payload"],
                        "properties": {"payload": REFERENCE},
                    }
                }
            }
        },
    },
}


def test_asyncapi_is_valid_and_whole() -> None:
    document = yaml.safe_load((DOCS / "asyncapi.yaml").read_text())
    jsonschema.validate(document, ASYNCAPI)
    references = set(re.findall(r"\$ref: '?\"?(#/[\w/-]+)", (DOCS / "asyncapi.yaml").read_text()))
    for reference in references:
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
    for channel in document["channels"].values():
        assert set(re.findall(r"\{(\w+)\}", channel["address"])) == set(channel["parameters"])
    addresses = {one["address"] for one in document["channels"].values()}
    assert addresses == {f"{{prefix}}/{{agent}}/{topic.address}" for topic in TOPICS}
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_the_man_page_has_every_command_and_option_and_renders() -> None:
    page = DOCS / "edge-agent.1"
    lint = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "error", str(page)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert lint.returncode == 0, lint.stdout
    shown = subprocess.run(
        ["mandoc", "-T", "ascii", str(page)], capture_output=True, text=True, check=True
    ).stdout
    plain = re.sub(".\x08", "", shown)
    waiting: list[tuple[str, Any]] = [("edge-agent", typer.main.get_command(app))]
    while waiting:
        path, command = waiting.pop()
        inner = getattr(command, "commands", None)
        if inner:
            waiting += [(f"{path} {name}", one) for name, one in inner.items()]
            continue
        assert f"{path}\n" in plain
        for parameter in command.params:
            for flag in parameter.opts:
                assert not flag.startswith("-") or flag in plain, (path, flag)


def test_every_command_over_mqtt_is_described() -> None:
    text = (DOCS / "commands.md").read_text()
    for one in commands():
        assert f"## `{one.name}`\n" in text
