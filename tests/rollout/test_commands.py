"""Commands: answers, refusals, once only, and never an exception whatever arrives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.load import parse_settings
from edge_agent.config.section import Section
from edge_agent.domain.telemetry import Message
from edge_agent.errors import Unavailable
from edge_agent.rollout.commands import Command, CommandContext, CommandRequest, Commands
from edge_agent.rollout.envelope import close_envelope
from edge_agent.rollout.signature import generate_key, public_text, sign

NOW = 1_790_000_000.0
TOPIC = "edge/gw-1/cmd/rebaseline"


class Rebaseline(CommandRequest):
    equipment: str


class Done(Section):
    count: int


Answer = dict[str, Any]


class Bench:
    """A registry with one command that counts how often it was carried out."""

    def __init__(self, **rollout: object) -> None:
        self.count = 0
        self.error: Exception | None = None
        document = {"agent": {"id": "gw-1"}, "rollout": rollout}
        self.commands = Commands(
            parse_settings(document, where="test"),
            [Command("rebaseline", "Learn anew.", Rebaseline, Done, self.rebaseline)],
        )

    def rebaseline(self, _: Rebaseline, __: CommandContext) -> Done:
        if self.error is not None:
            raise self.error
        self.count += 1
        return Done(count=self.count)

    def send(self, body: object, topic: str = TOPIC, now: float = NOW, **more: Any) -> Answer:  # noqa: ANN401
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        message = Message(topic=topic, payload=payload, arrived=NOW, **more)
        answer = self.commands.handle(message, now)
        assert answer is not None
        decoded: Answer = json.loads(answer.payload)
        return decoded


def test_a_command_is_answered_where_the_asker_wants_it() -> None:
    bench = Bench()
    body = b'{"equipment": "pump-1", "id": "7"}'
    message = Message(
        TOPIC, body, NOW, response_topic="controller/answers", correlation_data=b"\x00\x01"
    )
    answer = bench.commands.handle(message, NOW)
    assert answer is not None
    assert (answer.topic, answer.correlation_data) == ("controller/answers", b"\x00\x01")
    assert json.loads(answer.payload)["result"] == {"count": 1}
    assert not answer.retain


@pytest.mark.parametrize(
    "wished", ["", "$SYS/x", "a/+/b", "a/#", "x" * 2000, "edge/gw-1/config/desired", "edge/g/cmd/x"]
)
def test_an_answer_is_never_sent_to_a_harmful_topic(wished: str) -> None:
    message = Message(TOPIC, b'{"equipment": "p"}', NOW, response_topic=wished)
    answer = Bench().commands.handle(message, NOW)
    assert answer is not None
    assert answer.topic == f"{TOPIC}/response"


@pytest.mark.parametrize(
    ("body", "more", "code"),
    [
        ({"equipment": "p"}, {"retained": True}, "retained"),
        ({"equipment": "p"}, {"expiry_s": 5.0, "now": NOW + 6}, "expired"),
        ({"equipment": "p", "expires_at": "2020-01-01T00:00:00Z"}, {}, "expired"),
        ({"equipment": "p"}, {"topic": "edge/gw-1/cmd/reboot"}, "unknown"),
        ({"equipment": "p"}, {"topic": "edge/gw-1/cmd/schema"}, "not_allowed"),
        ({}, {}, "ill_formed"),
        ({"equipment": 5}, {}, "ill_formed"),
        ({"equipment": "p", "extra": 1}, {}, "ill_formed"),
        (b"not json", {}, "ill_formed"),
        (b"[" * 50_000, {}, "ill_formed"),
        (b"x" * 100_000, {}, "ill_formed"),
        ({"equipment": "p", "agent": "gw-2"}, {}, "unauthorised"),
    ],
)
def test_refusals_say_why(body: object, more: dict[str, Any], code: str) -> None:
    bench = Bench(commands=["help", "rebaseline"])
    answer = bench.send(body, **more)
    assert (answer["ok"], answer["error"]["code"], bench.count) == (False, code, 0)
    assert answer["error"]["message"]


def test_a_failure_is_an_answer_and_may_be_tried_again() -> None:
    bench = Bench()
    bench.error = Unavailable("the store is full")
    assert bench.send({"equipment": "p", "id": "1"})["error"] == {
        "code": "failed",
        "message": "the store is full",
    }
    bench.error = None
    assert bench.send({"equipment": "p", "id": "1"})["ok"]


def test_the_same_id_is_carried_out_once_in_five_minutes() -> None:
    bench = Bench()
    first = bench.send({"equipment": "p", "id": "1"})
    assert bench.send({"equipment": "p", "id": "1"}, now=NOW + 299) == first
    bench.send({"equipment": "p", "id": "1"}, now=NOW + 301)
    assert bench.count == 2
    for _ in range(2):
        bench.send({"equipment": "p"}, correlation_data=b"c")
    assert bench.count == 3


def test_the_memory_is_bounded() -> None:
    bench = Bench()
    for number in range(1000):
        bench.send({"equipment": "p", "id": str(number)})
    assert len(bench.commands._answered) <= 256


def test_help_publishes_schemas_that_fit_the_answers() -> None:
    bench = Bench()
    known = bench.send({}, topic="edge/gw-1/cmd/help")["result"]["commands"]
    assert set(known) == {"help", "schema", "rebaseline"}
    jsonschema.validate({"equipment": "p"}, known["rebaseline"]["request"])
    jsonschema.validate({"count": 1}, known["rebaseline"]["response"])
    schema = bench.send({}, topic="edge/gw-1/cmd/schema")["result"]
    jsonschema.validate({"health": {"interval_s": 5}}, schema["settings_schema"])


def test_signed_commands_are_bound_to_gateway_command_and_time(tmp_path: Path) -> None:
    key = generate_key()
    anchors = tmp_path / "anchors.toml"
    anchors.write_text(f'[keys.fleet]\npublic = "{public_text(key)}"\n')
    bench = Bench(signed_commands=True, trust_anchors=str(anchors))
    good = {
        "equipment": "p",
        "id": "1",
        "agent": "gw-1",
        "command": "rebaseline",
        "expires_at": "2026-09-21T14:15:00Z",
    }

    def send(change: dict[str, object]) -> Answer:
        body = json.dumps({**good, **change}).encode()
        return bench.send(close_envelope(sign(body, key, "fleet")))

    changes: tuple[dict[str, object], ...] = (
        {"agent": "gw-2"},
        {"agent": None},
        {"command": "status"},
        {"id": None},
        {"expires_at": None},
        {"expires_at": "2026-09-21T15:00:00Z"},
    )
    for change in changes:
        assert send(change)["error"]["code"] == "unauthorised", change
    assert bench.send(good)["error"]["code"] == "unauthorised"
    assert send({})["ok"]
    assert bench.count == 1


@given(st.binary(max_size=100), st.text(max_size=30), st.none() | st.text(max_size=20))
def test_any_message_is_answered_or_none_of_ours(payload: bytes, name: str, wish: str) -> None:
    bench = Bench()
    message = Message(f"edge/gw-1/cmd/{name}", payload, NOW, response_topic=wish)
    answer = bench.commands.handle(message, NOW)
    if answer is not None:
        assert "ok" in json.loads(answer.payload)
    assert bench.commands.handle(Message("edge/gw-2/cmd/status", payload, NOW), NOW) is None
