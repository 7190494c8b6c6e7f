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
from edge_agent.domain.outgoing import Outcome, Outgoing
from edge_agent.domain.telemetry import Message
from edge_agent.failpoints import reach
from edge_agent.mqtt.aliases import TopicAliases
from edge_agent.mqtt.backoff import Cause, cause_of
from edge_agent.mqtt.delivery import Delivery
from edge_agent.mqtt.limits import TOPIC_INVALID, Limits, limits_of
from edge_agent.mqtt.receipts import Receipts
from edge_agent.mqtt.redirect import REDIRECTS, Endpoint, Redirect
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

CONNACK_TIMEOUT_S = 10.0
ALIAS_INVALID = 0x94
UNSUBSCRIBED = (0x00, 0x11)
"""Reason codes of UNSUBACK after which the subscription is gone: done, there was none."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are at the broker, and what it tells the others when we vanish."""

    client_id: str
    will: Outgoing


@dataclass(frozen=True, slots=True)
class Attempt:
    """One connection to make."""

    endpoint: Endpoint
    version: MQTTProtocolVersion
    generation: int
    aliases: bool = True
    """Whether topics may be sent as aliases."""


class Link:
    """``open`` it, ``turn`` it until it returns False, ``close`` it; all in the network thread.

    ``publish`` and ``ack`` may be called from any thread meanwhile.
    """

    def __init__(
        self,
        settings: MqttSection,
        identity: Identity,
        attempt: Attempt,
        deliver: Callable[[Message], None],
    ) -> None:
        self._settings = settings
        self._attempt = attempt
        self.version = attempt.version
        self.generation = attempt.generation
        self._deliver = deliver
        self.session_present = False
        self.limits = Limits()
        """What the broker takes."""
        self.redirect: Redirect | None = None
        """Where it sends us instead."""
        self.aliases_refused = False
        """It ended the connection over a topic alias."""
        self._aliases = TopicAliases()
        self.connected = False
        self.hung_up = False
        """Whether the broker took the connection, then closed it without an answer that we know."""
        self.silent = False
        """It took the connection and never answered the CONNECT."""
        self.ended: LinkFailed | None = None
        """Why it is over; None while it lives."""
        self.received = 0
        """Messages so far."""
        self.granted: dict[str, bool] = {}
        """Filter → whether the broker granted the subscription."""
        self.unsubscribed: set[str] = set()
        self._lock = threading.Lock()
        self._deliveries: dict[int, tuple[Delivery, str]] = {}
        """Packet id → what waits for the PUBACK, and its topic."""
        self._early: dict[int, Outcome] = {}
        self._open = 0
        self._asked: dict[int, tuple[str, ...]] = {}
        self._receipts = Receipts(self._acknowledge)
        client = new_client(
            settings, identity.client_id, attempt.version, identity.will, self._on_publication
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
        where = self._attempt.endpoint
        try:
            self._client.connect(
                where.host,
                where.port,
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
            return LinkFailed(f"{self._attempt.endpoint}: closed without a reason")
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
            self.ended = LinkFailed(f"{self._attempt.endpoint}: connection lost ({code.name})")
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
        for delivery, _ in lost.values():
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
        refusal = self.limits.refusal(outgoing) or self._reserve()
        if refusal is not None:
            delivery.settle(refusal)
            return
        reach("publish")
        topic, alias = self._aliases.use(outgoing.topic)
        try:
            info = self._client.publish(
                topic,
                outgoing.payload,
                qos=1,
                retain=outgoing.retain and self.limits.may_retain,
                properties=publish_properties(outgoing, self.version, alias),
            )
        except (ValueError, struct.error, MQTTException) as error:
            with self._lock:
                self._open -= 1
            delivery.settle(Outcome("refused", f"not a message: {error}", TOPIC_INVALID))
            return
        if alias is not None and info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._aliases.established(outgoing.topic)
        with self._lock:
            # The PUBACK may have been faster than this thread.
            outcome = self._early.pop(info.mid, None)
            if outcome is None and self.ended is not None:
                outcome = Outcome("lost", str(self.ended))
            if outcome is None and info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                outcome = Outcome("lost", info.rc.name)
            if outcome is None:
                self._deliveries[info.mid] = delivery, outgoing.topic
        if outcome is not None:
            delivery.settle(outcome)

    def room(self) -> int:
        """How many more publishes the broker accepts in flight."""
        return max(0, self.limits.receive_maximum - self._open) if self.connected else 0

    def _reserve(self) -> Outcome | None:
        """A place in the broker's receive maximum. paho would queue what is beyond it."""
        with self._lock:
            if not self.connected:
                return Outcome("lost", "not connected")
            if self._open >= self.limits.receive_maximum:
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
            cause = cause_of(reason.value)
            self.redirect = _redirect(reason, properties)
            self.ended = LinkFailed(f"{self._attempt.endpoint}: refused us: {reason}", cause)
            return
        self.session_present = flags.session_present
        self.limits = limits_of(properties)
        if self._attempt.aliases:
            self._aliases.allow(self.limits.topic_aliases)
        self.connected = True

    def _on_disconnect(
        self,
        client: Client,  # noqa: ARG002
        userdata: object,  # noqa: ARG002
        flags: DisconnectFlags,  # noqa: ARG002
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self.connected = False
        if self.ended is None:
            self.redirect = _redirect(reason, properties)
            self.aliases_refused = reason.value == ALIAS_INVALID
            cause = cause_of(reason.value)
            text = f"{self._attempt.endpoint}: connection ended: {reason}"
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
            found = self._deliveries.pop(mid, None)
            if found is None:
                self._early[mid] = outcome
        if found is not None:
            delivery, topic = found
            if outcome.state == "refused":
                self._aliases.doubt(topic)
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
        reasons: list[ReasonCode],
        properties: Properties | None,  # noqa: ARG002
    ) -> None:
        with self._lock:
            filters = self._asked.pop(mid, ())
            if not reasons:  # 3.1.1 gives none
                self.unsubscribed.update(filters)
            for text, reason in zip(filters, reasons, strict=False):
                if reason.value in UNSUBSCRIBED:
                    self.unsubscribed.add(text)


def _redirect(reason: ReasonCode, properties: Properties | None) -> Redirect | None:
    if reason.value not in REDIRECTS:
        return None
    return Redirect(reason.value, str(getattr(properties, "ServerReference", "")))
