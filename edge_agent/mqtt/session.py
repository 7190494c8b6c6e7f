"""What goes into paho and comes out of it: client, credentials, properties, messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_agent.config.broker import MqttSection
from edge_agent.credentials import password, tls_context
from edge_agent.domain.outgoing import Outgoing
from edge_agent.domain.telemetry import Message
from edge_agent.errors import BadConfig, Unavailable
from edge_agent.mqtt.backoff import Cause
from edge_agent.mqtt.tap import Publication, TappedClient

CONNECT_TIMEOUT_S = 5.0
V5 = MQTTProtocolVersion.MQTTv5
LONGEST_EXPIRY_S = 4_294_967_295.0


class LinkFailed(Unavailable):
    """There is no connection; ``cause`` decides how long to wait."""

    def __init__(self, message: str, cause: Cause = Cause.LOST) -> None:
        super().__init__(message)
        self.cause = cause


def new_client(
    settings: MqttSection,
    client_id: str,
    version: MQTTProtocolVersion,
    will: Outgoing,
    deliver: Callable[[Publication], None],
) -> TappedClient:
    """A paho client that has not connected yet. ``deliver`` gets what is published to us. Raises
    ``LinkFailed`` for unusable secrets."""
    client = TappedClient(
        CallbackAPIVersion.VERSION2,
        deliver=deliver,
        client_id=client_id,
        clean_session=None if version is V5 else not settings.session_expiry_s,
        protocol=version,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.max_inflight_messages_set(0)  # the link keeps to the broker's limit itself
    client.connect_timeout = CONNECT_TIMEOUT_S
    # Without this callback, paho writes to the socket from whichever thread publishes, and two of
    # them may mix their bytes: with it, only the network thread ever writes.
    client.on_socket_register_write = lambda *_: None
    properties = None
    if version is V5:
        properties = _properties(PacketTypes.WILLMESSAGE, ContentType=will.content_type)
    client.will_set(will.topic, will.payload, qos=1, retain=will.retain, properties=properties)
    try:
        if settings.username is not None:
            client.username_pw_set(settings.username, password(settings))
        if settings.tls.enabled:
            client.tls_set_context(tls_context(settings.tls))
    except BadConfig as error:
        raise LinkFailed(str(error), Cause.DENIED) from error
    return client


def session_options(settings: MqttSection, version: MQTTProtocolVersion) -> dict[str, Any]:
    """Options of CONNECT that keep the session: the broker stores what arrives while we are away
    (``clean_session=False`` says the same in 3.1.1). With an expiry of 0 there is none to keep."""
    if version is not V5:
        return {}
    properties = _properties(
        PacketTypes.CONNECT,
        SessionExpiryInterval=settings.session_expiry_s,
        ReceiveMaximum=settings.receive_maximum,
        MaximumPacketSize=settings.max_packet_kb * 1024,
    )
    return {"clean_start": not settings.session_expiry_s, "properties": properties}


def subscription(
    text: str, qos: int, version: MQTTProtocolVersion, *, replay_retained: bool
) -> tuple[str, Any]:
    """One entry of SUBSCRIBE. QoS is 1 at most: at 2, PUBREC would promise delivery before
    anything was kept. Shared subscriptions never get retained messages."""
    qos = min(qos, 1)
    if version is not V5:
        return text, qos
    handling = 2 if text.startswith("$share/") else (0 if replay_retained else 1)
    return text, SubscribeOptions(qos=qos, retainHandling=handling)


def publish_properties(
    outgoing: Outgoing, version: MQTTProtocolVersion, alias: int | None = None
) -> Properties | None:
    """Content type, correlation data, topic alias and what is left of its time to live."""
    if version is not V5:
        return None
    values: dict[str, Any] = {"ContentType": outgoing.content_type}
    if alias is not None:
        values["TopicAlias"] = alias
    if outgoing.correlation_data is not None:
        values["CorrelationData"] = outgoing.correlation_data
    if outgoing.expires_at is not None:
        left = outgoing.expires_at - time.time()
        values["MessageExpiryInterval"] = int(min(max(left, 1.0), LONGEST_EXPIRY_S))
    return _properties(PacketTypes.PUBLISH, **values)


def as_publication(message: MQTTMessage) -> Publication:
    """paho's message, where paho read it."""
    try:
        topic = message.topic.encode()
    except UnicodeDecodeError as error:
        topic = error.object
    payload, mid = bytes(message.payload), message.mid
    return Publication(topic, payload, message.qos, message.retain, mid, message.properties)


def as_message(found: Publication, now: float, ack: tuple[int, int, int] | None) -> Message:
    """A PUBLISH as our message. A topic that is no UTF-8 keeps its odd bytes as ``\\xNN``, which
    no source matches: it ends as a dead letter."""
    topic = found.topic.decode("utf-8", "backslashreplace")
    told: dict[str, Any] = vars(found.properties) if found.properties else {}
    if len(told) <= EMPTY_PROPERTIES:
        return Message(topic, found.payload, now, found.retain, ack=ack)
    return Message(
        topic,
        found.payload,
        now,
        found.retain,
        content_type=told.get("ContentType"),
        user_properties=tuple(told.get("UserProperty", ())),
        response_topic=told.get("ResponseTopic"),
        correlation_data=told.get("CorrelationData"),
        expiry_s=told.get("MessageExpiryInterval"),
        ack=ack,
    )


def _properties(kind: int, **values: Any) -> Properties:  # noqa: ANN401 - as paho takes them
    properties = Properties(kind)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


EMPTY_PROPERTIES = len(vars(_properties(PacketTypes.PUBLISH)))
"""Attributes of paho's properties when none was sent."""
