"""Commands on ``…/cmd/{name}``: what may be asked, by whom, once, and in time.

A request is a JSON object, in an envelope where ``rollout.signed_commands`` asks for one. Every
command gets exactly one kind of answer, on its response topic or ``{topic}/response``::

    {"command": "status", "id": "…", "ok": true, "result": {…}}
    {"command": "statsu", "id": null, "ok": false, "error": {"code": "unknown", "message": "…"}}
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import AwareDatetime, BaseModel, Field

from edge_agent.config.load import validate
from edge_agent.config.section import Section
from edge_agent.config.settings import Settings
from edge_agent.domain.outgoing import Outgoing
from edge_agent.domain.telemetry import Message
from edge_agent.errors import BadConfig, EdgeAgentError
from edge_agent.rollout.admission import anchors_of
from edge_agent.rollout.envelope import open_envelope, read_object
from edge_agent.rollout.report import settings_schema_sha256, settings_schema_text
from edge_agent.rollout.signature import TrustAnchors, verify

log = structlog.get_logger()

REMEMBER_S = 300.0
"""A command with the same id within this time is answered again, not carried out again."""
REMEMBER_COUNT = 256
REMEMBER_BYTES = 1 << 20
LIMIT_BYTES = 64 * 1024
"""A larger request is refused unread."""


class CommandRequest(Section):
    """What every request may carry; the commands add their own fields."""

    id: str | None = Field(default=None, min_length=1, max_length=128)
    """Names this request: sent twice, it is carried out once."""
    expires_at: AwareDatetime | None = None
    """Not carried out after this time, where the gateway's clock is trusted."""
    agent: str | None = Field(default=None, max_length=64)
    """The gateway that it is for; must be given in a signed request."""
    command: str | None = Field(default=None, max_length=64)
    """The command's name; must be given in a signed request."""


class CommandError(Section):
    """Why a command was not carried out."""

    code: str
    """``unknown``, ``not_allowed``, ``retained``, ``expired``, ``ill_formed``, ``unauthorised``
    or ``failed``."""
    message: str


class CommandAnswer(Section):
    """What every answer is."""

    command: str
    id: str | None
    ok: bool
    result: dict[str, Any] | None = None
    error: CommandError | None = None


@dataclass(frozen=True, slots=True)
class CommandContext:
    """How a request came, for handlers whose result comes later."""

    response_topic: str
    correlation_data: bytes | None
    now: float


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that may be asked. ``handler`` raises ``EdgeAgentError`` where it cannot."""

    name: str
    description: str
    request: type[CommandRequest]
    response: type[BaseModel]
    handler: Callable[[Any, CommandContext], BaseModel]


class Refused(EdgeAgentError):
    """A command that is not carried out; becomes an error answer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class HelpAnswer(Section):
    """The commands that this gateway answers, with the JSON Schemas of both directions."""

    commands: dict[str, dict[str, Any]]


class SchemaAnswer(Section):
    """The JSON Schema of the settings."""

    sha256: str
    settings_schema: dict[str, Any]


class Commands:
    """The registry. Not thread-safe: one thread takes commands."""

    def __init__(
        self,
        settings: Settings,
        commands: Sequence[Command],
        *,
        anchors: Callable[[], TrustAnchors | None] | None = None,
        clock_trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        """``anchors``: the keys that may sign now; absent: those of the settings' file."""
        self._settings = settings
        self._anchors = anchors or (lambda: anchors_of(self._settings))
        self._clock_trusted = clock_trusted
        own = (
            Command("help", "List the commands.", CommandRequest, HelpAnswer, self._help),
            Command("schema", "The settings' schema.", CommandRequest, SchemaAnswer, _schema),
        )
        self._commands = {command.name: command for command in (*own, *commands)}
        self._answered: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    def handle(self, message: Message, now: float) -> Outgoing | None:
        """The answer to ``message`` from ``…/cmd/{name}``; None where the topic is none of ours.
        ``now``: wall clock, Unix seconds. The allow-list is that of the settings."""
        prefix = self._settings.topic("cmd/")
        name = message.topic.removeprefix(prefix)
        if name == message.topic or "/" in name or not name:
            return None
        request_id: str | None = None
        try:
            self._check_transport(message, now)
            command = self._known(name)
            request = self._read(command, message, now)
            request_id = request.id
            key = _memory_key(name, request, message)
            remembered = self._recall(key, now)
            if remembered is not None:
                return self._outgoing(message, remembered)
            context = CommandContext(self._answer_topic(message), message.correlation_data, now)
            result = command.handler(request, context).model_dump(mode="json")
            answer = CommandAnswer(command=name, id=request_id, ok=True, result=result)
            payload = answer.model_dump_json(exclude_none=True).encode("utf-8")
            self._remember(key, payload, now)
        except EdgeAgentError as error:
            payload = self._refusal(name[:64], request_id, error)
        return self._outgoing(message, payload)

    def use(self, settings: Settings) -> None:
        """Go on with other settings."""
        self._settings = settings

    def _check_transport(self, message: Message, now: float) -> None:
        if message.retained:
            raise Refused("retained", "commands are not retained: publish it without retain")
        if message.expiry_s is not None and now > message.arrived + message.expiry_s:
            raise Refused("expired", "its message expiry passed before it was its turn")
        if len(message.payload) > LIMIT_BYTES:
            raise Refused("ill_formed", f"{len(message.payload)} bytes; at most {LIMIT_BYTES}")

    def _known(self, name: str) -> Command:
        command = self._commands.get(name)
        if command is None:
            known = ", ".join(sorted(self._commands))
            raise Refused("unknown", f"no command {name[:64]!r}; known are: {known}")
        if name not in self._settings.rollout.commands:
            raise Refused("not_allowed", f"{name!r} is not among rollout.commands of this gateway")
        return command

    def _read(self, command: Command, message: Message, now: float) -> CommandRequest:
        body = message.payload or b"{}"
        signed = self._settings.rollout.signed_commands
        if signed:
            body = self._verified(message.payload)
        try:
            document = read_object(body, "request")
            request = validate(command.request, document, where=command.name)
        except BadConfig as error:
            raise Refused("ill_formed", str(error)[:2000]) from None
        self._check_for_us(command.name, request, signed=signed)
        self._check_time(request, now, signed=signed)
        return request

    def _verified(self, payload: bytes) -> bytes:
        try:
            anchors = self._anchors()
            if anchors is None:
                raise Refused("unauthorised", "signed commands need rollout.trust_anchors")
            envelope = open_envelope(payload)
            verify(envelope, anchors)
        except BadConfig as error:
            raise Refused("unauthorised", str(error)[:2000]) from None
        return envelope.body

    def _check_for_us(self, name: str, request: CommandRequest, *, signed: bool) -> None:
        own = self._settings.agent.id
        if request.agent not in ((own,) if signed else (own, None)):
            raise Refused("unauthorised", f"agent: it is for {request.agent!r}, this is {own!r}")
        if request.command not in ((name,) if signed else (name, None)):
            raise Refused("unauthorised", f"command: it says {request.command!r}, came as {name!r}")
        if signed and (request.id is None or request.expires_at is None):
            raise Refused("unauthorised", "a signed command carries id and expires_at")

    def _check_time(self, request: CommandRequest, now: float, *, signed: bool) -> None:
        if request.expires_at is None or not self._clock_trusted():
            return
        left_s = request.expires_at.timestamp() - now
        if left_s <= 0:
            raise Refused("expired", f"it expired at {request.expires_at.isoformat()}")
        if signed and left_s > REMEMBER_S:
            # Longer than its id is remembered, it could be replayed.
            raise Refused("unauthorised", f"expires_at: at most {REMEMBER_S:.0f} s ahead")

    def _help(self, _: CommandRequest, __: CommandContext) -> HelpAnswer:
        allowed = self._settings.rollout.commands
        return HelpAnswer(
            commands={
                name: {
                    "description": command.description,
                    "request": command.request.model_json_schema(),
                    "response": command.response.model_json_schema(),
                }
                for name, command in sorted(self._commands.items())
                if name in allowed
            }
        )

    def _refusal(self, name: str, request_id: str | None, error: EdgeAgentError) -> bytes:
        code = error.code if isinstance(error, Refused) else "failed"
        log.warning("command_refused", command=name, code=code, reason=str(error)[:300])
        detail = CommandError(code=code, message=str(error)[:2000])
        answer = CommandAnswer(command=name, id=request_id, ok=False, error=detail)
        return answer.model_dump_json(exclude_none=True).encode("utf-8")

    def _answer_topic(self, message: Message) -> str:
        """The wished topic where it is a sane one. Below our own prefix only ``…/response`` is
        answered to: nobody makes us publish desired states or commands."""
        own = f"{message.topic}/response"
        wished = message.response_topic
        if wished is None or not 0 < len(wished) <= 1024 or wished.startswith("$"):
            return own
        if any(character in wished for character in "+#\0"):
            return own
        inside = wished.startswith(f"{self._settings.agent.topic_prefix}/")
        return own if inside and not wished.endswith("/response") else wished

    def _outgoing(self, message: Message, payload: bytes) -> Outgoing:
        topic = self._answer_topic(message)
        parts = (topic.encode(), message.correlation_data or b"", payload)
        digest = hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]
        return Outgoing(
            topic=topic,
            payload=payload,
            key=f"cmd-{digest}",
            correlation_data=message.correlation_data,
        )

    def _recall(self, key: str | None, now: float) -> bytes | None:
        while self._answered:
            oldest, (at, _) = next(iter(self._answered.items()))
            if 0 <= now - at < REMEMBER_S:
                break
            del self._answered[oldest]
        remembered = self._answered.get(key) if key is not None else None
        return remembered[1] if remembered is not None else None

    def _remember(self, key: str | None, payload: bytes, now: float) -> None:
        if key is None:
            return
        self._answered[key] = (now, payload)
        while len(self._answered) > REMEMBER_COUNT or (
            len(self._answered) > 1
            and sum(len(one) for _, one in self._answered.values()) > REMEMBER_BYTES
        ):
            self._answered.popitem(last=False)


def _memory_key(name: str, request: CommandRequest, message: Message) -> str | None:
    """By id, else by correlation data; a request with neither is not remembered."""
    if request.id is not None:
        return f"{name}:id:{request.id}"
    if message.correlation_data:
        return f"{name}:correlation:{hashlib.sha256(message.correlation_data).hexdigest()}"
    return None


def _schema(_: CommandRequest, __: CommandContext) -> SchemaAnswer:
    return SchemaAnswer(
        sha256=settings_schema_sha256(), settings_schema=json.loads(settings_schema_text())
    )
