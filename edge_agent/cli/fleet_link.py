"""The fleet manager's line to the broker: hears what the gateways report, tells them what is
desired. With ``streaming`` the only client-side user of paho."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.config.broker import MqttSection
from edge_agent.errors import BadConfig, Unavailable

CONNECT_TIMEOUT_S = 10.0
QUIET_S = 1.0
"""The retained reports are taken as complete once none came for this long."""
MAX_AGENTS = 100_000


class FleetLink:
    """Connected inside ``with``. Raises ``Unavailable`` where the broker cannot be reached."""

    def __init__(self, settings: MqttSection, prefix: str) -> None:
        self._settings = settings
        self._prefix = prefix
        self._news = threading.Condition()
        self._heard_at = time.monotonic()
        self._reports: dict[str, dict[str, Any]] = {}
        self._models: dict[str, dict[str, Any]] = {}
        self._online: dict[str, bool] = {}
        self._refused = ""
        self._client: paho.Client | None = None

    def __enter__(self) -> FleetLink:
        reasons = []
        for protocol in (MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311):
            reason = self._connect(protocol)
            if not reason:
                return self
            reasons.append(reason)
        where = f"{self._settings.host}:{self._settings.port}"
        raise Unavailable(f"broker {where}: no connection ({'; '.join(dict.fromkeys(reasons))})")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()

    def _connect(self, protocol: MQTTProtocolVersion) -> str:
        """Empty on success, else why not."""
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
        self._secure(client)
        outcome: list[str] = []
        connected = threading.Event()

        def on_connect(
            client: paho.Client, _data: object, _flags: object, code: ReasonCode, _more: object
        ) -> None:
            if code.is_failure:
                outcome.append(str(code))
            else:
                topics = ("config/reported", "model/reported", "status")
                client.subscribe([(f"{self._prefix}/+/{topic}", 1) for topic in topics])
            connected.set()

        client.on_connect = on_connect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        try:
            client.connect(self._settings.host, self._settings.port, keepalive=30)
        except OSError as error:
            return error.strerror or str(error)
        client.loop_start()
        if connected.wait(CONNECT_TIMEOUT_S) and not outcome:
            self._client = client
            return ""
        client.disconnect()
        client.loop_stop()
        return outcome[0] if outcome else f"no answer within {CONNECT_TIMEOUT_S:.0f} s"

    def _secure(self, client: paho.Client) -> None:
        settings = self._settings
        if settings.username is not None:
            password = None
            if settings.password_file is not None:
                try:
                    password = settings.password_file.read_text(encoding="utf-8").strip()
                except OSError as error:
                    raise BadConfig(f"{settings.password_file}: {error.strerror}") from error
            client.username_pw_set(settings.username, password)
        if settings.tls.enabled:
            context = ssl.create_default_context(cafile=settings.tls.ca)
            if settings.tls.certificate is not None:
                context.load_cert_chain(settings.tls.certificate, settings.tls.key)
            client.tls_set_context(context)

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        try:
            agent, _, kind = message.topic[len(self._prefix) + 1 :].partition("/")
            document = json.loads(message.payload)
        except ValueError:  # not UTF-8 or no JSON: not one of ours
            return
        if not isinstance(document, dict):
            return
        with self._news:
            known = len(self._reports) + len(self._models) + len(self._online)
            if known >= 3 * MAX_AGENTS:
                return
            if kind == "status":
                self._online[agent] = document.get("state") == "online"
            elif kind == "model/reported":
                self._models[agent] = document
            else:
                self._reports[agent] = document
            self._heard_at = time.monotonic()
            self._news.notify_all()

    def _on_publish(
        self, _client: paho.Client, _data: object, _mid: int, code: ReasonCode, _more: object
    ) -> None:
        if code.is_failure:
            with self._news:
                self._refused = str(code)
                self._news.notify_all()

    @property
    def reports(self) -> dict[str, dict[str, Any]]:
        """Agent id → its latest reported state."""
        with self._news:
            return dict(self._reports)

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """Agent id → what it reports of its model roll-out."""
        with self._news:
            return dict(self._models)

    @property
    def online(self) -> dict[str, bool]:
        """Agent id → whether its last will has not been heard since its birth."""
        with self._news:
            return dict(self._online)

    def settle(self, limit_s: float = 10.0) -> None:
        """Wait until the retained reports have come in."""
        end = time.monotonic() + limit_s
        with self._news:
            while (now := time.monotonic()) < min(end, self._heard_at + QUIET_S):
                self._news.wait(min(end, self._heard_at + QUIET_S) - now)

    def wait_until(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for news until ``done``; False when the time is up."""
        with self._news:
            return self._news.wait_for(done, timeout_s)

    def wait_for_news(self, timeout_s: float) -> None:
        """Wait until something was reported, or the time is up."""
        with self._news:
            self._news.wait(timeout_s)

    def desire(self, agent: str, payload: bytes, what: str = "config") -> None:
        """Publish a desired document (``config`` or ``model``) for ``agent``, retained. Raises
        ``Unavailable``."""
        if self._client is None:
            raise Unavailable("not connected to the broker")
        topic = f"{self._prefix}/{agent}/{what}/desired"
        handle = self._client.publish(topic, payload, qos=1, retain=True)
        handle.wait_for_publish(CONNECT_TIMEOUT_S)
        if self._refused or not handle.is_published():
            why = self._refused or "no acknowledgement"
            raise Unavailable(f"{topic}: the broker did not take it ({why}); check its access list")
