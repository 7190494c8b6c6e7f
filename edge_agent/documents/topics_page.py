"""``docs/topics.md``, ``docs/commands.md`` and the JSON Schemas. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edge_agent.config.settings import Settings
from edge_agent.documents.markdown import NOTE, cell, one_line
from edge_agent.messages import TOPICS, Topic, commands, schema_of
from edge_agent.rollout.commands import CommandRequest

Document = Mapping[str, Any]

TOPICS_INTRO = """
# Topics and messages

Everything lies below `{topic_prefix}/{agent id}/`, by default `edge/gateway/`. JSON in UTF-8, QoS
1, content type `application/json` with MQTT 5. Every document has a `schema_version`; fields may be
added within a version. QoS 1 may deliver twice: deduplicate diagnoses on `diagnosis_id`, incidents
on `message_id`.

The schemas are also files, [schemas/](schemas), and an AsyncAPI description is in
[asyncapi.yaml](asyncapi.yaml). What comes in as telemetry is up to you: `telemetry.sources` in
[settings.md](settings.md).

| topic | | retained | what | schema |
|---|---|---|---|---|"""
HOME = """
Where `observe.home_assistant` is on, discovery messages lie below `homeassistant/`; the
documentation of Home Assistant describes them.
"""
COMMANDS_INTRO = """
# Commands over MQTT

Publish a JSON object to `{topic_prefix}/{agent id}/cmd/{name}`, not retained. The answer comes on
the response topic of the request (MQTT 5), else on `…/cmd/{name}/response`, with the same
correlation data. `rollout.commands` says which commands a gateway answers,
`rollout.signed_commands` whether they must be signed. A request that is sent
twice with one `id` is carried out once. The command line is described in the man page,
[edge-agent.1](edge-agent.1).

```sh
mosquitto_pub -h localhost -p 1883 -t edge/gateway/cmd/status -m '{"id": "1"}'
```

Every answer: `command`, `id`, `ok`, and `result` or `error` with `code` and `message`
([schema](schemas/command-answer.json)).

Every request may carry:
"""


def schemas() -> dict[str, str]:
    """The JSON Schema files, by name."""
    found = {topic.schema: schema_of(topic) for topic in TOPICS}
    for one in commands():
        found[f"command-{one.name}-request"] = one.request
        found[f"command-{one.name}-response"] = one.response
    found["settings"] = Settings.model_json_schema()
    return {
        name: json.dumps(schema, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        for name, schema in found.items()
    }


def topics_page() -> str:
    """The topic reference."""
    lines = [NOTE + TOPICS_INTRO]
    for topic in TOPICS:
        lines.append(
            f"| `{topic.address}` | {'out' if topic.sent else 'in'} |"
            f" {'yes' if topic.retained else ''} | {topic.what} |"
            f" [{topic.schema}](schemas/{topic.schema}.json) |"
        )
    lines.append(HOME)
    for topic in TOPICS:
        lines += _topic(topic)
    return "\n".join(lines).rstrip() + "\n"


def _topic(topic: Topic) -> list[str]:
    schema = schema_of(topic)
    if "properties" not in schema:
        names = [
            f"`{one['$ref'].rsplit('/', 1)[-1]}`"
            for one in schema.get("anyOf", ())
            if "$ref" in one
        ]
        parts = [
            line
            for one in schema.get("anyOf", ())
            for line in _fields(schema["$defs"][one["$ref"].rsplit("/", 1)[-1]], schema)
        ]
        return [f"## `{topic.address}`", "", f"{' or '.join(names)}.", "", *parts]
    return [
        f"## `{topic.address}`",
        "",
        one_line(schema.get("description", "")),
        "",
        *_fields(schema, schema),
    ]


def _fields(node: Document, root: Document, prefix: str = "") -> list[str]:
    lines = [] if prefix else ["| field | type | meaning |", "|---|---|---|"]
    for name, field in node.get("properties", {}).items():
        inner = _resolved(field, root)
        meaning = field.get("description") or inner.get("description") or ""
        lines.append(f"| `{prefix}{name}` | {_schema_type(field, root)} | {cell(meaning)} |")
        if inner.get("properties") and prefix.count(".") < 1:
            lines += _fields(
                inner, root, f"{prefix}{name}{'[]' if field.get('type') == 'array' else ''}."
            )
    return lines if prefix else [*lines, ""]


def _resolved(field: Document, root: Document) -> Document:
    """The object behind a reference, an optional or a list."""
    if "$ref" in field:
        found: Document = root["$defs"][field["$ref"].rsplit("/", 1)[-1]]
        return found
    if field.get("type") == "array" and isinstance(field.get("items"), Mapping):
        return _resolved(field["items"], root)
    parts = [one for one in field.get("anyOf", ()) if one.get("type") != "null"]
    return _resolved(parts[0], root) if len(parts) == 1 else field


def _schema_type(field: Document, root: Document) -> str:
    inner = _resolved(field, root)
    if "anyOf" in field:
        kinds = [_schema_type(one, root) for one in field["anyOf"]]
        return " or ".join(dict.fromkeys(kinds))
    if field.get("type") == "array":
        return f"list of {_schema_type(field['items'], root)}" if field.get("items") else "list"
    if "const" in inner:
        return f"`{json.dumps(inner['const'])}`"
    if "enum" in inner:
        return ", ".join(f"`{one}`" for one in inner["enum"])
    return str(inner.get("type", "any"))


def commands_page() -> str:
    """The commands over MQTT."""
    shape = CommandRequest.model_json_schema()
    lines = [NOTE + COMMANDS_INTRO, *_fields(shape, shape)]
    shared = set(shape["properties"])
    for one in commands():
        lines += [f"## `{one.name}`", "", one.description, ""]
        own = {
            **one.request,
            "properties": {
                name: field
                for name, field in one.request["properties"].items()
                if name not in shared
            },
        }
        if own["properties"]:
            lines += ["Request:", "", *_fields(own, one.request)]
        about = one_line(one.response.get("description", ""))
        lines += [f"Result: {about}", "", *_fields(one.response, one.response)]
    return "\n".join(lines).rstrip() + "\n"
