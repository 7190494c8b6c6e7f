"""A short visit to the broker with the agent's credentials, under a client id of its own: it
neither takes over the agent's session nor leaves one behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_agent.config.broker import MqttSection
from edge_agent.credentials import password, tls_context
from edge_agent.domain.telemetry import Message
from edge_agent.errors import BadConfig, EdgeAgentError

ANSWER_S = 5.0
MOST_HEARD = 5_000
NO_RETAINED = 2
"""MQTT 5, 3.8.3.1: retained messages are no sign of life."""
V5 = MQTTProtocolVersion.MQTTv5
UNSUPPORTED = 0x84
"""CONNACK reason code: the broker speaks no MQTT 5."""


class VisitFailed(EdgeAgentError):
    """The broker did not let us in, or stopped answering."""


class Visit:
    """Use as a context manager. Raises ``VisitFailed``."""

    def __init__(self, settings: MqttSection, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._answered = threading.Event()
        self._answers: dict[int, list[ReasonCode]] = {}
        self._heard: list[Message] = []
        self._refusal: ReasonCode | None = None
        self._protocol = MQTTProtocolVersion.MQTTv311 if settings.protocol == "3.1.1" else V5
        self._client = self._new_client()

    @property
    def version(self) -> str:
        """Of the protocol that was agreed on."""
        return "5" if self.tells else "3.1.1"

    @property
    def tells(self) -> bool:
        """Whether the protocol says what is refused."""
        return self._protocol is V5

    def __enter__(self) -> Visit:
        self._connect()
        if self._older_is_wanted():
            self._leave()
            self._protocol = MQTTProtocolVersion.MQTTv311
            self._client = self._new_client()
            self._connect()
        if self._refusal is not None:
            self._leave()
            raise VisitFailed(f"the broker refuses us: {self._refusal}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def subscribe(self, filters: Sequence[str]) -> list[str]:
        """Subscribe at QoS 0; the filters that the broker refuses."""
        wanted = [(name, SubscribeOptions(qos=0, retainHandling=NO_RETAINED)) for name in filters]
        codes = self._wait_for(self._client.subscribe(wanted)[1])
        return [name for name, code in zip(filters, codes, strict=False) if code.is_failure]

    def may_publish(self, topic: str) -> bool:
        """Whether the broker takes an empty, unretained message from us there."""
        codes = self._wait_for(self._client.publish(topic, b"", qos=1).mid)
        return not any(code.is_failure for code in codes)

    def listen(self, seconds: float) -> list[Message]:
        """What comes on the subscribed topics within ``seconds``, less our own probes."""
        time.sleep(seconds)
        return [one for one in self._heard[:MOST_HEARD] if one.payload]

    def _older_is_wanted(self) -> bool:
        refused = self._refusal is not None and self._refusal.value == UNSUPPORTED
        return refused and self.tells and self._settings.protocol == "auto"

    def _new_client(self) -> Client:
        settings = self._settings
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=self._protocol,
            clean_session=None if self._protocol is V5 else True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = ANSWER_S
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_subscribe = lambda _c, _u, mid, codes, _p: self._answer(mid, codes)
        client.on_publish = lambda _c, _u, mid, code, _p: self._answer(mid, [code])
        try:
            if settings.username is not None:
                client.username_pw_set(settings.username, password(settings))
            if settings.tls.enabled:
                client.tls_set_context(tls_context(settings.tls))
        except BadConfig as problem:
            raise VisitFailed(str(problem)) from None
        return client

    def _connect(self) -> None:
        self._answered.clear()
        self._refusal = None
        options: dict[str, Any] = {"clean_start": True} if self.tells else {}
        try:
            self._client.connect(self._settings.host, self._settings.port, 30, **options)
        except OSError as problem:
            raise VisitFailed(f"the connection fails: {problem}") from None
        self._client.loop_start()
        if not self._answered.wait(ANSWER_S):
            self._leave()
            raise VisitFailed("it does not answer to CONNECT; is this port MQTT, and with TLS?")

    def _leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _wait_for(self, mid: int | None) -> list[ReasonCode]:
        deadline = time.monotonic() + ANSWER_S
        while mid is not None and time.monotonic() < deadline:
            if mid in self._answers:
                return self._answers.pop(mid)
            time.sleep(0.005)
        raise VisitFailed("it stopped answering")

    def _answer(self, mid: int, codes: Sequence[ReasonCode]) -> None:
        self._answers[mid] = list(codes)

    def _on_connect(
        self,
        _client: Client,
        _data: object,
        _flags: ConnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._refusal = code if code.is_failure else None
        self._answered.set()

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        if len(self._heard) < MOST_HEARD:
            topic = message.topic
            self._heard.append(Message(topic, bytes(message.payload), time.time(), message.retain))
