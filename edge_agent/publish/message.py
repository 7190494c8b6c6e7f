"""Every message that we send, composed from values. Pure.

``root`` is ``{topic_prefix}/{agent id}``; times are wall clock, Unix seconds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from edge_agent.domain.diagnosis import Diagnosis
from edge_agent.domain.finding import Finding
from edge_agent.domain.outgoing import Outgoing, OutgoingPriority
from edge_agent.domain.summary import ShiftSummary

SCHEMA_VERSION = 1
HEALTH_TTL_S = 3_600.0
"""Nobody wants last week's health; results are kept until they are sent."""
NOTE_TTL_S = 86_400.0
SHOWN_BYTES = 64
"""How much of an unreadable payload a dead letter shows."""
_RESERVED = re.compile(r"[+#/\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Wildcards, the separator, and what MQTT lets a broker end the connection for."""


def topic_level(text: str) -> str:
    """``text`` as one level of a topic: what MQTT reserves becomes ``_``."""
    return _RESERVED.sub("_", text)[:200] or "_"


def rfc3339(at: float) -> str:
    """Unix seconds as RFC 3339 in UTC, with milliseconds; the epoch for what no calendar holds."""
    try:
        moment = datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        moment = datetime.fromtimestamp(0, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def status_message(
    root: str,
    state: Literal["online", "offline"],
    *,
    session_id: str,
    details: Mapping[str, Any] | None = None,
) -> Outgoing:
    """Birth (``online``), last will and farewell (``offline``), retained.

    ``session_id`` is the same in all of one run: a late will of an earlier run is told from the
    state of this one. The will is composed before it is needed, so it can carry no time of its own.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "state": state,
        "session_id": session_id,
        **(details or {}),
    }
    return Outgoing(
        topic=f"{root}/status", payload=msgspec.json.encode(document), key="status", retain=True
    )


def health_message(root: str, document: Mapping[str, Any], now: float) -> Outgoing:
    """How the agent is; goes after the results and is not kept for long."""
    body = {"schema_version": SCHEMA_VERSION, "at": rfc3339(now), **document}
    return Outgoing(
        topic=f"{root}/health",
        payload=msgspec.json.encode(body),
        key=f"health-{now:.3f}",
        priority=OutgoingPriority.HEALTH,
        expires_at=now + HEALTH_TTL_S,
    )


def incident_message(
    root: str, finding: Finding, *, agent_id: str, now: float, simulated: bool = False
) -> Outgoing:
    """The deterministic part of an incident; ``message_id`` is the same on every attempt."""
    key = f"incident-{finding.incident_id}-{finding.sequence}"
    body = {
        "schema_version": SCHEMA_VERSION,
        "message_id": key,
        "agent_id": agent_id,
        "created_at": rfc3339(now),
        "simulated": simulated,
        **finding.model_dump(mode="json"),
    }
    return Outgoing(
        topic=f"{root}/incident/{topic_level(finding.equipment)}",
        payload=msgspec.json.encode(body),
        key=key,
    )


def diagnosis_message(root: str, diagnosis: Diagnosis, *, retain: bool = False) -> Outgoing:
    """The result; receivers deduplicate on ``diagnosis_id``. A check-up has a topic of its own: it
    must not take the place of an incident's diagnosis, nor is it retained."""
    checkup = diagnosis.trigger == "checkup"
    return Outgoing(
        topic=f"{root}/{'checkup' if checkup else 'diagnosis'}/{topic_level(diagnosis.equipment)}",
        payload=diagnosis.model_dump_json().encode(),
        key=f"diagnosis-{diagnosis.diagnosis_id}",
        retain=retain and not checkup,
    )


def summary_message(root: str, summary: ShiftSummary) -> Outgoing:
    """A shift of one area; receivers deduplicate on ``message_id``."""
    return Outgoing(
        topic=f"{root}/summary/{topic_level(summary.area)}",
        payload=summary.model_dump_json().encode(),
        key=summary.message_id,
    )


def reported_message(root: str, name: str, document: Mapping[str, Any]) -> Outgoing:
    """``…/{name}/reported``, retained: what became of a desired state. ``name``: config, model."""
    payload = msgspec.json.encode({"schema_version": SCHEMA_VERSION, **document})
    return Outgoing(
        topic=f"{root}/{name}/reported",
        payload=payload,
        key=f"{name}-reported-{hashlib.sha256(payload).hexdigest()[:16]}",
        retain=True,
    )


def response_message(
    topic: str,
    document: Mapping[str, Any],
    *,
    key: str,
    correlation_data: bytes | None = None,
    expires_at: float | None = None,
) -> Outgoing:
    """The answer to a command, to where the command asked for it."""
    return Outgoing(
        topic=topic,
        payload=msgspec.json.encode({"schema_version": SCHEMA_VERSION, **document}),
        key=f"response-{key}",
        correlation_data=correlation_data,
        expires_at=expires_at,
    )


def dead_letter_message(
    root: str, *, topic: str, payload: bytes, reason: str, now: float, suppressed: int = 0
) -> Outgoing:
    """A note of what could not be read, and why. The caller limits their rate and says with
    ``suppressed`` how many went without a note since the last one."""
    digest = hashlib.sha256(topic.encode("utf-8", "replace") + b"\0" + payload).hexdigest()
    body = {
        "schema_version": SCHEMA_VERSION,
        "at": rfc3339(now),
        "topic": escaped(topic.encode("utf-8", "backslashreplace"), 256),
        "reason": reason[:500],
        "payload_bytes": len(payload),
        "payload_start": escaped(payload, SHOWN_BYTES),
        "suppressed": suppressed,
    }
    return Outgoing(
        topic=f"{root}/deadletter",
        payload=msgspec.json.encode(body),
        key=f"deadletter-{digest[:16]}-{now:.3f}",
        priority=OutgoingPriority.NOTE,
        expires_at=now + NOTE_TTL_S,
    )


def escaped(data: bytes, limit: int) -> str:
    """The first ``limit`` bytes as printable ASCII; others as ``\\xNN``, so that no terminal, log
    or model reads anything into them."""
    shown = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}"
        for byte in data[:limit]
    )
    return shown + "…" if len(data) > limit else shown
