"""Publishing rows of telemetry over MQTT at a pace, as a machine's gateway would.

The one module of the client-side tools (``simulate``, ``replay``, ``demo``) that uses paho; the
daemon has its own connection in ``mqtt``. Tries MQTT 5 first and falls back to 3.1.1.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import TypeVar

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.config.broker import MqttSection
from edge_agent.credentials import password, tls_context
from edge_agent.errors import Unavailable

CONNECT_TIMEOUT_S = 10.0
"""Seconds for one attempt to connect."""
STALL_S = 60.0
"""A broker that acknowledges nothing for this long is reported, seconds."""

Row = TypeVar("Row")


def telemetry_payload(at: float, values: Mapping[str, float]) -> bytes:
    """The default telemetry format: a flat object with an ISO time in UTC."""
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return json.dumps(
        {"timestamp": moment.replace("+00:00", "Z"), **values}, separators=(",", ":")
    ).encode()


class Client:
    """An ordinary MQTT client: publishes within a window, hands on what it subscribed to.

    Raises ``Unavailable`` where the broker cannot be reached, refuses, or stops acknowledging;
    ``BadConfig`` for a password or certificate that cannot be read.
    """

    def __init__(
        self,
        settings: MqttSection,
        *,
        client_id: str = "",
        window: int = 200,
        stall_s: float = STALL_S,
        deliver: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._window = window
        self._stall_s = stall_s
        self._in_flight = 0
        self._acked = threading.Condition()
        self._deliver = deliver
        self._wanted: tuple[str, ...] = ()
        self._refused = ""
        self._last = ""
        self._client: paho.Client | None = None
        self._subscribed = threading.Event()
        self.protocol = ""

    def __enter__(self) -> Client:
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _where(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    def connect(self) -> None:
        """Connect, MQTT 5 first. Raises ``Unavailable``."""
        reasons = []
        for protocol, name in (
            (MQTTProtocolVersion.MQTTv5, "5"),
            (MQTTProtocolVersion.MQTTv311, "3.1.1"),
        ):
            reason = self._attempt(protocol)
            if not reason:
                self.protocol = name
                return
            reasons.append(f"MQTT {name}: {reason}")
        raise Unavailable(
            f"broker {self._where}: no connection ({'; '.join(reasons)}); check --host and --port "
            "and that the broker runs"
        )

    def _attempt(self, protocol: MQTTProtocolVersion) -> str:
        """Empty on success, else why not."""
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=self._client_id, protocol=protocol
        )
        client.max_inflight_messages_set(self._window)
        if self._settings.username is not None:
            client.username_pw_set(self._settings.username, password(self._settings))
        if self._settings.tls.enabled:
            client.tls_set_context(tls_context(self._settings.tls))
        connected = threading.Event()
        outcome: list[str] = []

        def on_connect(
            client: paho.Client, _data: object, _flags: object, code: ReasonCode, _props: object
        ) -> None:
            if code.is_failure:
                outcome.append(str(code))
            elif self._wanted:
                client.subscribe([(topic, 1) for topic in self._wanted])
            connected.set()

        def on_disconnect(
            _client: paho.Client, _data: object, _flags: object, code: ReasonCode, _props: object
        ) -> None:
            if not connected.is_set():
                outcome.append(f"closed by the broker ({code})")
                connected.set()

        client.on_connect = on_connect
        client.on_disconnect = on_disconnect
        client.on_publish = self._acknowledged
        client.on_message = self._received
        client.on_subscribe = self._heard
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

    def _acknowledged(
        self, _client: paho.Client, _data: object, _mid: int, code: ReasonCode, _props: object
    ) -> None:
        # A refused publish frees its place as well; the next publish() reports it.
        with self._acked:
            if code.is_failure:
                self._refused = str(code)
            self._in_flight -= 1
            self._acked.notify_all()

    def _received(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if self._deliver is not None:
            self._deliver(message.topic, bytes(message.payload))

    def _heard(
        self, _client: paho.Client, _data: object, _mid: int, _codes: object, _props: object
    ) -> None:
        self._subscribed.set()

    @property
    def subscribed(self) -> bool:
        """Whether the broker has confirmed a subscription."""
        return self._subscribed.is_set()

    def subscribe(self, filters: Iterable[str]) -> None:
        """Subscribe at QoS 1, again after each reconnect."""
        self._wanted = tuple(filters)
        self._connected().subscribe([(topic, 1) for topic in self._wanted])

    def publish(
        self,
        topic: str,
        payload: bytes,
        properties: Mapping[str, str] | None = None,
        *,
        retain: bool = False,
    ) -> None:
        """Send at QoS 1; blocks while the window of unacknowledged messages is full."""
        client = self._connected()
        self._wait_below(self._window, self._stall_s)
        self._last = topic
        extra = None
        if properties and self.protocol == "5":
            extra = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            extra.UserProperty = list(properties.items())
        with self._acked:
            self._in_flight += 1
        client.publish(topic, payload, qos=1, retain=retain, properties=extra)

    def drain(self, timeout_s: float = STALL_S) -> None:
        """Wait until the broker has acknowledged everything. Raises ``Unavailable``."""
        self._wait_below(1, timeout_s)

    def _wait_below(self, limit: int, timeout_s: float) -> None:
        with self._acked:
            if self._acked.wait_for(lambda: self._in_flight < limit, timeout_s):
                if self._refused:
                    raise Unavailable(
                        f"broker {self._where}: refused a message (the last went to {self._last}): "
                        f"{self._refused}; check its access list"
                    )
                return
            waiting = self._in_flight
        raise Unavailable(
            f"broker {self._where}: {waiting} messages stayed unacknowledged for "
            f"{timeout_s:.0f} s; check that it runs, its log and its disk"
        )

    def close(self) -> None:
        """Disconnect and end the network thread."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None

    def _connected(self) -> paho.Client:
        if self._client is None:
            raise Unavailable("not connected to a broker: call connect() first")
        return self._client


@dataclass(frozen=True, slots=True)
class Streamed:
    """What ``stream`` did."""

    rows: int
    seconds: float


def stream(
    rows: Iterable[tuple[float, Row]],
    send: Callable[[float, Row], None],
    *,
    speed: float | None,
    stop: threading.Event,
) -> Streamed:
    """Send (seconds, row) pairs at ``speed`` times their own pace; None: as fast as ``send``
    takes them.

    A time that jumps back costs no wait. ``stop`` ends it between two rows.
    """
    began = time.monotonic()
    count = 0
    origin: float | None = None
    for at, row in rows:
        if origin is None:
            origin = at
        if speed is not None:
            wait = began + (at - origin) / speed - time.monotonic()
            if wait > 0 and stop.wait(wait):
                break
        if stop.is_set():
            break
        send(at, row)
        count += 1
    return Streamed(count, time.monotonic() - began)
