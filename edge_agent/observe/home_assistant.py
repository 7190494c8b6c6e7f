"""The messages of Home Assistant's MQTT discovery: the gateway and each machine as devices. Pure.

Every message is retained: ``{prefix}/{component}/{object}/config`` describes an entity, and
``{root}/machine/{equipment}`` holds what a machine's entities show. The gateway's own entities
read ``…/status`` and ``…/health``, which are there anyway.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from edge_agent import __version__
from edge_agent.domain.diagnosis import Diagnosis
from edge_agent.domain.finding import Finding, IncidentPhase
from edge_agent.domain.level import Level

Document: TypeAlias = dict[str, Any]

MAKER = "edge-agent"
LONGEST_STATE = 255
"""Characters that Home Assistant takes as a state."""
LONGEST_TEXT = 1000
NONE = "none"
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")
MACHINE_STATES = ("learning", "quiet", "open", "cooling")


class Picture(msgspec.Struct, frozen=True):
    """What was last found about a machine; ``state`` of the learning comes from detection."""

    incident_id: str = ""
    is_open: bool = False
    reason: str = ""
    origin: str = ""
    diagnosis: str = ""
    """Title of the fault of this incident."""
    probability: float | None = None
    severity: str = ""
    explanation: str = ""
    actions: tuple[str, ...] = ()
    source: str = ""
    diagnosed_at: str = ""

    def found(self, finding: Finding) -> Picture:
        """After a finding; a new incident begins without a diagnosis."""
        known = self if finding.incident_id == self.incident_id else Picture()
        return msgspec.structs.replace(
            known,
            incident_id=finding.incident_id,
            is_open=finding.phase is not IncidentPhase.CLOSED,
            reason=finding.reason[:LONGEST_TEXT],
            origin=str(finding.origin),
        )

    def diagnosed(self, made: Diagnosis) -> Picture:
        """After a diagnosis; one of another incident, or asked for, changes nothing."""
        if made.incident_id != self.incident_id:
            return self
        return msgspec.structs.replace(
            self,
            diagnosis=made.fault.title if made.fault else str(made.verdict),
            probability=made.fault.probability if made.fault else None,
            severity=str(made.severity),
            explanation=made.explanation[:LONGEST_TEXT],
            actions=tuple(one[:LONGEST_TEXT] for one in made.recommended_actions[:10]),
            source=made.source,
            diagnosed_at=made.created_at,
        )


@dataclass(frozen=True, slots=True)
class Gateway:
    """Who announces, and where."""

    agent_id: str
    root: str
    """``{topic_prefix}/{agent id}``."""
    prefix: str
    """Home Assistant's discovery prefix."""


def slug(name: str) -> str:
    """``name`` as an object id; what had to change is told apart by a digest."""
    plain = _FOREIGN.sub("_", name)[:60]
    if plain == name:
        return plain
    return f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def retained(
    gateway: Gateway, states: Mapping[str, str], pictures: Mapping[str, Picture]
) -> dict[str, bytes]:
    """Every topic that shall be retained, with its payload. ``states``: machine → its state."""
    documents = dict(_gateway_entities(gateway))
    for equipment, state in states.items():
        documents |= _machine_entities(gateway, equipment)
        documents[machine_topic(gateway, equipment)] = machine_state(
            equipment, state, pictures.get(equipment, Picture())
        )
    return {topic: msgspec.json.encode(document) for topic, document in documents.items()}


def machine_topic(gateway: Gateway, equipment: str) -> str:
    """Where a machine's state is retained."""
    return f"{gateway.root}/machine/{slug(equipment)}"


def machine_state(equipment: str, state: str, picture: Picture) -> Document:
    """What a machine's entities show; its other keys are their attributes."""
    named = picture.diagnosis if picture.is_open and picture.diagnosis else NONE
    return {
        "schema_version": 1,
        "equipment": equipment,
        "state": state,
        "incident": "ON" if picture.is_open else "OFF",
        "diagnosis": named[:LONGEST_STATE],
        "incident_id": picture.incident_id or None,
        "reason": picture.reason or None,
        "origin": picture.origin or None,
        "last_fault": picture.diagnosis or None,
        "probability": picture.probability,
        "severity": picture.severity or None,
        "explanation": picture.explanation or None,
        "actions": list(picture.actions),
        "source": picture.source or None,
        "diagnosed_at": picture.diagnosed_at or None,
    }


def _gateway_entities(gateway: Gateway) -> Iterable[tuple[str, Document]]:
    name = f"edge_agent_{slug(gateway.agent_id)}"
    device = {
        "identifiers": [name],
        "name": f"edge-agent {gateway.agent_id}",
        "manufacturer": MAKER,
        "model": "gateway",
        "sw_version": __version__,
    }
    health = f"{gateway.root}/health"

    def sensor(key: str, title: str, template: str, **more: object) -> tuple[str, Document]:
        return _entity(
            gateway,
            "sensor",
            f"{name}_{key}",
            {
                "name": title,
                "device": device,
                "state_topic": health,
                "value_template": template,
                "entity_category": "diagnostic",
                **more,
            },
        )

    levels = {"device_class": "enum", "options": [one.value for one in Level]}
    watts = {"device_class": "power", "unit_of_measurement": "W", "state_class": "measurement"}
    megabytes = {
        "device_class": "data_size",
        "unit_of_measurement": "MB",
        "state_class": "measurement",
    }
    yield sensor("level", "Level", "{{ value_json.governor.level }}", **levels)
    yield sensor("reason", "Level reason", "{{ value_json.governor.reason[:255] }}")
    yield sensor("power", "Power", "{{ value_json.governor.watts | round(2) }}", **watts)
    memory = "{{ (value_json.governor.daemon_mb + value_json.governor.worker_mb) | round(0) }}"
    yield sensor("memory", "Memory", memory, **megabytes)
    yield sensor("model", "Model", "{{ value_json.worker.model }} {{ value_json.worker.state }}")
    waiting = "{{ value_json.store.outbox.waiting }}"
    yield sensor("outbox", "Messages waiting", waiting, state_class="measurement")


def _machine_entities(gateway: Gateway, equipment: str) -> dict[str, Document]:
    name = f"edge_agent_{slug(gateway.agent_id)}_{slug(equipment)}"
    own = machine_topic(gateway, equipment)
    shared: Document = {
        "device": {
            "identifiers": [name],
            "name": equipment[:LONGEST_STATE],
            "manufacturer": MAKER,
            "model": "watched machine",
            "via_device": f"edge_agent_{slug(gateway.agent_id)}",
        },
        "state_topic": own,
    }
    attributes = {"json_attributes_topic": own}
    states = {"device_class": "enum", "options": list(MACHINE_STATES)}
    entities: tuple[tuple[str, str, str, Document], ...] = (
        ("binary_sensor", "incident", "Incident", {"device_class": "problem", **attributes}),
        ("sensor", "diagnosis", "Diagnosis", attributes),
        ("sensor", "state", "State", {**states, "entity_category": "diagnostic"}),
    )
    found: dict[str, Document] = {}
    for component, key, title, more in entities:
        template = f"{{{{ value_json.{key} }}}}"
        document = {"name": title, **shared, "value_template": template, **more}
        topic, body = _entity(gateway, component, f"{name}_{key}", document)
        found[topic] = body
    return found


def _entity(gateway: Gateway, component: str, key: str, body: Document) -> tuple[str, Document]:
    """Topic and payload of one entity; it is unavailable while the agent is offline."""
    return f"{gateway.prefix}/{component}/{key}/config", {
        **body,
        "unique_id": key,
        # Proposes the entity's id; Home Assistant 2026.4 takes the older "object_id" no more.
        "default_entity_id": f"{component}.{key}",
        "availability_topic": f"{gateway.root}/status",
        "availability_template": "{{ value_json.state }}",
        "payload_available": "online",
        "payload_not_available": "offline",
        "qos": 1,
        "origin": {"name": MAKER, "sw_version": __version__},
    }
