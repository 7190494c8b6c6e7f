from __future__ import annotations

import json
import math

from findings import finding
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.domain.finding import IncidentPhase
from edge_agent.domain.outgoing import OutgoingPriority
from edge_agent.publish.message import (
    dead_letter_message,
    escaped,
    health_message,
    incident_message,
    reported_message,
    response_message,
    rfc3339,
    status_message,
    topic_level,
)

ROOT = "edge/gw"


def test_birth_and_will_name_the_same_run() -> None:
    birth = status_message(ROOT, "online", session_id="s", details={"version": "1"})
    will = status_message(ROOT, "offline", session_id="s")
    assert birth.topic == will.topic == "edge/gw/status"
    assert birth.retain
    assert will.retain
    assert json.loads(birth.payload) == {
        "schema_version": 1,
        "state": "online",
        "session_id": "s",
        "version": "1",
    }
    assert json.loads(will.payload)["session_id"] == "s"


def test_the_same_finding_is_the_same_message() -> None:
    first = incident_message(ROOT, finding(), agent_id="gw", now=5.0)
    again = incident_message(ROOT, finding(), agent_id="gw", now=99.0)
    later = incident_message(
        ROOT, finding(sequence=1, phase=IncidentPhase.CLOSED), agent_id="gw", now=5.0
    )
    assert first.key == again.key != later.key
    body = json.loads(first.payload)
    assert body["message_id"] == first.key
    assert (body["phase"], body["equipment"], body["created_at"]) == (
        "opened",
        "pump-1",
        "1970-01-01T00:00:05.000Z",
    )
    assert body["evidence"][0]["signal"] == "flow"


def test_results_are_kept_and_health_is_not() -> None:
    assert incident_message(ROOT, finding(), agent_id="gw", now=5.0).expires_at is None
    health = health_message(ROOT, {"loops": {}, "odd": math.nan}, now=5.0)
    assert health.priority is OutgoingPriority.HEALTH
    assert health.expires_at
    assert json.loads(health.payload)["odd"] is None


def test_a_response_echoes_what_it_answers() -> None:
    message = response_message("reply/here", {"ok": True}, key="c1", correlation_data=b"\x01\xff")
    assert (message.topic, message.correlation_data) == ("reply/here", b"\x01\xff")


def test_reported_states_differ_by_content() -> None:
    one = reported_message(ROOT, "config", {"revision": 1})
    two = reported_message(ROOT, "config", {"revision": 2})
    assert one.retain
    assert one.key != two.key
    assert one.topic == "edge/gw/config/reported"


@given(st.text(max_size=300), st.binary(max_size=300), st.text(max_size=600))
def test_dead_letters_show_anything_and_stay_small(topic: str, payload: bytes, why: str) -> None:
    message = dead_letter_message(ROOT, topic=topic, payload=payload, reason=why, now=1.0)
    body = json.loads(message.payload)
    assert body["payload_bytes"] == len(payload)
    assert body["payload_start"].removesuffix("…").isascii()
    assert body["payload_start"].removesuffix("…").isprintable()
    assert len(message.payload) < 8_000
    assert message.priority is OutgoingPriority.NOTE


def test_bytes_are_escaped_not_interpreted() -> None:
    assert escaped(b"a\\\x1b[31m\xff\n", 99) == "a\\x5c\\x1b[31m\\xff\\x0a"
    assert escaped(b"abcdef", 3) == "abc…"


@given(st.text(max_size=400))
def test_any_name_is_one_level_of_a_topic(name: str) -> None:
    level = topic_level(name)
    assert level
    assert not set(level) & set("+#/\0")


@given(st.floats())
def test_any_time_can_be_written(at: float) -> None:
    assert rfc3339(at).endswith("Z")
