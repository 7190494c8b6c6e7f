"""``docs/asyncapi.yaml``: the topics in AsyncAPI 3.0, with the schemas of the models. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from edge_agent import __version__
from edge_agent.messages import TOPICS, Topic, schema_of

_PLACE = re.compile(r"\{(\w+)\}")
PARAMETERS = {
    "area": "Part of the plant, by `report.areas` or the cards.",
    "prefix": "agent.topic_prefix of the settings, by default edge.",
    "agent": "agent.id of the settings.",
    "equipment": "The machine; characters that MQTT reserves become _.",
    "name": "The command, see commands.md.",
}
BINDING = {"qos": 1, "bindingVersion": "0.2.0"}


def document() -> str:
    """The whole file."""
    import yaml

    described = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "edge-agent",
            "version": __version__,
            "description": "What the diagnostic agent for factory gateways publishes and hears.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "{host}:{port}",
                "protocol": "mqtt",
                "description": "The plant's broker: MQTT 5, or 3.1.1 where it has no more.",
                "variables": {"host": {"default": "localhost"}, "port": {"default": "1883"}},
            }
        },
        "channels": {_name(topic): _channel(topic) for topic in TOPICS},
        "operations": {_name(topic): _operation(topic) for topic in TOPICS},
        "components": {
            "messages": {_name(topic): _message(topic) for topic in TOPICS},
            "schemas": _schemas(),
        },
    }
    head = "# Written by scripts/make_docs.py; edit the program, not this file.\n"
    text: str = yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=100)
    return head + text


def _name(topic: Topic) -> str:
    first, *others = topic.schema.split("-")
    return first + "".join(word.capitalize() for word in others)


def _channel(topic: Topic) -> dict[str, Any]:
    address = f"{{prefix}}/{{agent}}/{topic.address}"
    return {
        "address": address,
        "description": topic.what,
        "messages": {_name(topic): {"$ref": f"#/components/messages/{_name(topic)}"}},
        "parameters": {name: {"description": PARAMETERS[name]} for name in _PLACE.findall(address)},
    }


def _operation(topic: Topic) -> dict[str, Any]:
    """``send`` and ``receive`` are said of the agent."""
    return {
        "action": "send" if topic.sent else "receive",
        "channel": {"$ref": f"#/channels/{_name(topic)}"},
        "summary": topic.what,
        "bindings": {"mqtt": {**BINDING, "retain": topic.retained}},
    }


def _message(topic: Topic) -> dict[str, Any]:
    return {
        "name": topic.schema,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{_name(topic)}"},
    }


def _schemas() -> dict[str, Any]:
    """Schemas of the messages and of what they refer to, each under a name of its own."""
    found: dict[str, Any] = {}
    for topic in TOPICS:
        name = _name(topic)
        schema = schema_of(topic)
        inner = schema.pop("$defs", {})
        schema.pop("$schema")
        for key, part in {
            name: schema,
            **{f"{name}_{key}": one for key, one in inner.items()},
        }.items():
            text = json.dumps(part).replace('"#/$defs/', f'"#/components/schemas/{name}_')
            found[key] = json.loads(text)
    return found
