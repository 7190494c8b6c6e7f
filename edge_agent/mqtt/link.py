"""One connection to the broker, from CONNECT to its end, with a paho client of its own.

A new client for each connection means that nothing which paho queues outlives it: what was not
acknowledged is ``lost``, and the outbox sends it again. The packet ids that ``ack`` uses are
therefore valid for one generation only, which the messages carry.
"""

from __future__ import annotations

import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from paho.mqtt import MQTTException
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.config.broker import MqttSection
from edge_agent.failpoints import reach
from edge_agent.mqtt.backoff import Cause
from edge_agent.mqtt.delivery import Delivery
from edge_agent.mqtt.receipts import Receipts
from edge_agent.mqtt.session import (
    LinkFailed,
    as_message,
    as_publication,
    new_client,
    publish_properties,
    session_options,
    subscription,
)
from edge_agent.mqtt.tap import Publication, say_untapped
from edge_agent.outgoing import Outcome, Outgoing
from edge_agent.telemetry import Message

CONNACK_TIMEOUT_S = 10.0
HEADER_ROOM = 64
"""Bytes of a PUBLISH beside topic, payload and properties, at most."""
TOO_LARGE, QOS_NOT_SUPPORTED, TOPIC_INVALID = 0x95, 0x9B, 0x90
_CAUSES = {
    0x84: Cause.NO_VERSION_5,
    0x85: Cause.DENIED,
    0x86: Cause.DENIED,
    0x87: Cause.DENIED,
    0x88: Cause.BUSY,
    0x89: Cause.BUSY,
    0x8A: Cause.DENIED,
    0x8E: Cause.TAKEN_OVER,
    0x93: Cause.BUSY,
    0x96: Cause.BUSY,
    0x97: Cause.BUSY,
    0x9F: Cause.BUSY,
}
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are at the broker, and what it tells the others when we vanish."""

    client_id: str
    will: Outgoing


class Link:
    """``open`` it, ``turn`` it until it returns False, ``close`` it; all in the network thread.

    ``publish`` and ``ack`` may be called from any thread meanwhile.
    """

    def __init__(
        self,
        settings: MqttSection,
        identity: Identity,
        version: MQTTProtocolVersion,
        generation: int,
        deliver: Callable[[Message], None],
    ) -> None:
        self._settings = settings
        self.version = version
        self.generation = generation
        self._deliver = deliver
        self.session_present = False
        self.receive_maximum = 65_535
        """Publishes in flight that the broker accepts."""
        self._maximum_packet = 268_435_455
        self._may_retain = True
        self._qos_1 = True
        self.connected = False
        self.hung_up = False
        self.silent = False
        """It took the connection and never answered the CONNECT."""
        """Whether the broker took the connection, then closed it without an answer that we know."""
        self.ended: LinkFailed | None = None
        """Why it is over; None while it lives."""
        self.received = 0
        """Messages so far."""
        self.granted: dict[str, bool] = {}
        """Filter → whether the broker granted the subscription."""
        self.unsubscribed: set[str] = set()
        self._lock = threading.Lock()
        self._deliveries: dict[int, Delivery] = {}
        self._early: dict[int, Outcome] = {}
        self._open = 0
        self._asked: dict[int, tuple[str, ...]] = {}
        self._receipts = Receipts(self._acknowledge)
        client = new_client(
            settings, identity.client_id, version, identity.will, self._on_publication
        )
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        self._client = client

    # --- in the network thread ------------------------------------------------------------------

    def open(self) -> None:
        """Connect and wait for CONNACK. Raises ``LinkFailed``."""
        where = f"{self._settings.host}:{self._settings.port}"
        try:
            self._client.connect(
                self._settings.host,
                self._settings.port,
                keepalive=self._settings.keepalive_s,
                **session_options(self._settings, self.version),
            )
        except ssl.SSLError as error:
            raise LinkFailed(
                f"{where}: not to be trusted: {error.reason or error}; compare mqtt.tls.ca with "
                "the broker's certificate, and its dates with the clock",
                Cause.DENIED,
            ) from error
        except (OSError, ValueError) as error:
            raise LinkFailed(f"{where}: {error}; is the broker running there?") from error
        if not self.tapped:
            say_untapped()
        deadline = time.monotonic() + CONNACK_TIMEOUT_S
        while not self.connected:
            if not self.turn(0.2):
                self.hung_up = self.ended is None or self.ended.cause is Cause.LOST
                raise self.failure()
            if time.monotonic() > deadline:
                self.silent = True
                raise LinkFailed(f"{where}: took the connection but did not answer")

    def failure(self) -> LinkFailed:
        """Why it is over, to be raised. ``ended`` itself never is: its traceback would hold this
        link, and its sockets with it."""
        if self.ended is None:
            return LinkFailed(f"{self._settings.host}: closed without a reason")
        return LinkFailed(str(self.ended), self.ended.cause)

    def turn(self, timeout: float) -> bool:
        """Let bytes flow for up to ``timeout`` seconds; False once the connection is over."""
        before = self.received
        code = self._client.loop(timeout)
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS and self.received > before and not self.tapped:
            # paho reads one packet per select(): take what lies ready without asking again.
            for _ in range(32):
                before = self.received
                code = self._client.loop_read()
                if self.received == before or code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    break
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS and self.ended is None:
            self.ended = LinkFailed(f"{self._settings.host}: connection lost ({code.name})")
        return self.ended is None

    @property
    def tapped(self) -> bool:
        """Whether messages are read many at once, and not by paho one by one."""
        return self._client.tap is not None

    def subscribe(self, filters: Sequence[tuple[str, int]], *, replay_retained: bool) -> None:
        """Ask for ``filters``; what the broker says stands in ``granted`` later."""
        wanted = [
            subscription(text, qos, self.version, replay_retained=replay_retained)
            for text, qos in filters
        ]
        code, mid = self._client.subscribe(wanted)
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS and mid is not None:
            with self._lock:
                self._asked[mid] = tuple(text for text, _ in filters)

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Give ``filters`` back; confirmed ones stand in ``unsubscribed`` later."""
        code, mid = self._client.unsubscribe(list(filters))
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS and mid is not None:
            with self._lock:
                self._asked[mid] = tuple(filters)

    def close(self, reason: str) -> None:
        """End it; every delivery still in flight is lost."""
        self.connected = False
        if self.ended is None:
            self._client.disconnect()
            deadline = time.monotonic() + 1.0
            while self.ended is None and time.monotonic() < deadline:
                self.turn(0.1)
        self.ended = self.ended or LinkFailed(reason)
        self._let_go()
        self._receipts.clear()
        with self._lock:
            lost, self._deliveries = self._deliveries, {}
        for delivery in lost.values():
            delivery.settle(Outcome("lost", str(self.ended)))

    def _let_go(self) -> None:
        """Free the sockets now. Client and link hold each other through the callbacks, and the
        garbage collector may take its time while reconnects pile descriptors up."""
        sock = self._client.socket()
        if sock is not None:
            sock.close()
        client = self._client
        client.on_connect = client.on_disconnect = client.on_message = None
        client.on_publish = client.on_subscribe = client.on_unsubscribe = None
        client.let_go()

    # --- from any thread ------------------------------------------------------------------------

    def publish(self, outgoing: Outgoing, delivery: Delivery) -> None:
        """Send at QoS 1; ``delivery`` is settled by the PUBACK, or by the end of the connection."""
        refusal = self._refusal(outgoing) or self._reserve()
        if refusal is not None:
            delivery.settle(refusal)
            return
        reach("publish")
        try:
            info = self._client.publish(
                outgoing.topic,
                outgoing.payload,
                qos=1,
                retain=outgoing.retain and self._may_retain,
                properties=publish_properties(outgoing, self.version),
            )
        except (ValueError, struct.error, MQTTException) as error:
            with self._lock:
                self._open -= 1
            delivery.settle(Outcome("refused", f"not a message: {error}", TOPIC_INVALID))
            return
        with self._lock:
            # The PUBACK may have been faster than this thread.
            outcome = self._early.pop(info.mid, None)
            if outcome is None and self.ended is not None:
                outcome = Outcome("lost", str(self.ended))
            if outcome is None and info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                outcome = Outcome("lost", info.rc.name)
            if outcome is None:
                self._deliveries[info.mid] = delivery
        if outcome is not None:
            delivery.settle(outcome)

    def room(self) -> int:
        """How many more publishes the broker accepts in flight."""
        return max(0, self.receive_maximum - self._open) if self.connected else 0

    def _reserve(self) -> Outcome | None:
        """A place in the broker's receive maximum. paho would queue what is beyond it."""
        with self._lock:
            if not self.connected:
                return Outcome("lost", "not connected")
            if self._open >= self.receive_maximum:
                return Outcome("lost", "as many in flight as the broker accepts")
            self._open += 1
            return None

    def ack(self, mids: Sequence[int]) -> int:
        """Acknowledge QoS 1 messages, in their turn. How many of the packet ids were open."""
        return self._receipts.done(mids)

    def _acknowledge(self, mids: Sequence[int]) -> None:
        for _ in mids:
            reach("ack")
        tap = self._client.tap
        one_by_one = mids
        if tap is not None:
            # paho takes them singly, with a system call each: all but the last ride with it.
            tap.ride(mids[:-1])
            one_by_one = mids[-1:]
        for mid in one_by_one:
            self._client.ack(mid, 1)
        for _ in mids:
            reach("acked")

    def give_up(self, reason: str) -> None:
        """Let the network thread end this connection at its next turn."""
        self.ended = self.ended or LinkFailed(reason)

    def unacked(self) -> int:
        """QoS 1 messages that wait for their acknowledgement."""
        return len(self._receipts)

    def _refusal(self, outgoing: Outgoing) -> Outcome | None:
        """What the broker has said it will not take: sending it would end the connection."""
        if not outgoing.topic:
            return Outcome("refused", "not a message: no topic", TOPIC_INVALID)
        size = (
            len(outgoing.topic) + len(outgoing.payload) + len(outgoing.content_type) + HEADER_ROOM
        )
        if size > self._maximum_packet:
            text = f"{size} bytes; the broker takes {self._maximum_packet} at most"
            return Outcome("refused", text, TOO_LARGE)
        if not self._qos_1:
            return Outcome("refused", "the broker offers QoS 0 only", QOS_NOT_SUPPORTED)
        return None

    # --- paho's callbacks: quick, and never raising ---------------------------------------------

    def _on_connect(
        self,
        client: Client,  # noqa: ARG002
        userdata: object,  # noqa: ARG002
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            cause = _CAUSES.get(reason.value, Cause.LOST)
            self.ended = LinkFailed(f"{self._settings.host}: refused us: {reason}", cause)
            return
        self.session_present = flags.session_present
        self.receive_maximum = int(getattr(properties, "ReceiveMaximum", 65_535))
        self._maximum_packet = int(getattr(properties, "MaximumPacketSize", 268_435_455))
        self._may_retain = bool(getattr(properties, "RetainAvailable", 1))
        self._qos_1 = int(getattr(properties, "MaximumQoS", 1)) >= 1
        self.connected = True

    def _on_disconnect(
        self,
        client: Client,  # noqa: ARG002
        userdata: object,  # noqa: ARG002
        flags: DisconnectFlags,  # noqa: ARG002
        reason: ReasonCode,
        properties: Properties | None,  # noqa: ARG002
    ) -> None:
        self.connected = False
        if self.ended is None:
            cause = _CAUSES.get(reason.value, Cause.LOST)
            text = f"{self._settings.host}: connection ended: {reason}"
            if cause is Cause.TAKEN_OVER:
                text += "; another client uses our client id: give each its own mqtt.client_id"
            self.ended = LinkFailed(text, cause)

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:  # noqa: ARG002
        self._on_publication(as_publication(message))

    def _on_publication(self, found: Publication) -> None:
        reach("received")
        self.received += 1
        ack = None
        if found.qos:
            ack = (self.generation, found.mid, found.qos)
            self._receipts.arrived(found.mid)
        try:
            self._deliver(as_message(found, time.time(), ack))
        except Exception as error:
            # Never into paho. The broker sends an unacknowledged message again, but only on a new
            # connection, and those behind it would wait for its acknowledgement until then.
            log.exception("message_not_taken", payload_bytes=len(found.payload))
            self.ended = LinkFailed(f"a message could not be taken in: {error!r}", Cause.BUSY)

    def _on_publish(
        self,
        client: Client,  # noqa: ARG002
        userdata: object,  # noqa: ARG002
        mid: int,
        reason: ReasonCode,
        properties: Properties | None,  # noqa: ARG002
    ) -> None:
        reach("puback")
        if reason.is_failure:
            outcome = Outcome("refused", str(reason), reason.value)
        else:
            outcome = Outcome("acked", str(reason))
        with self._lock:
            self._open -= 1
            delivery = self._deliveries.pop(mid, None)
            if delivery is None:
                self._early[mid] = outcome
        if delivery is not None:
            delivery.settle(outcome)

    def _on_subscribe(
        self,
        client: Client,  # noqa: ARG002
        userdata: object,  # noqa: ARG002
        mid: int,
        reasons: list[ReasonCode],
        properties: Properties | None,  # noqa: ARG002
    ) -> None:
        with self._lock:
            filters = self._asked.pop(mid, ())
        for text, reason in zip(filters, reasons, strict=False):
            self.granted[text] = not reason.is_failure
            if reason.is_failure:
                log.error("subscription_refused", filter=text, reason=str(reason))

    def _on_unsubscribe(
        self,
        client: Client,  # noqa: ARG002
        userdata: object,  # noqa: ARG002
        mid: int,
        reasons: list[ReasonCode],  # noqa: ARG002
        properties: Properties | None,  # noqa: ARG002
    ) -> None:
        with self._lock:
            self.unsubscribed.update(self._asked.pop(mid, ()))
