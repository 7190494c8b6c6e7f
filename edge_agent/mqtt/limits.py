"""What a broker said in its CONNACK that it takes."""

from __future__ import annotations

from dataclasses import dataclass

from paho.mqtt.properties import Properties

from edge_agent.domain.outgoing import Outcome, Outgoing

HEADER_ROOM = 64
"""Bytes of a PUBLISH beside topic, payload and the properties of varying length, at most."""
TOO_LARGE, QOS_NOT_SUPPORTED, TOPIC_INVALID = 0x95, 0x9B, 0x90


@dataclass(frozen=True, slots=True)
class Limits:
    """The defaults are those of MQTT 5 [3.2.2.3]."""

    receive_maximum: int = 65_535
    """Publishes in flight that the broker accepts."""
    maximum_packet: int = 268_435_455
    """Bytes."""
    may_retain: bool = True
    qos_1: bool = True
    topic_aliases: int = 0
    """Topic Alias Maximum."""
    session_expiry_s: int | None = None
    """How long it keeps our session, where that is not what we asked for."""

    def refusal(self, outgoing: Outgoing) -> Outcome | None:
        """What the broker has said it will not take: sending it would end the connection."""
        if not outgoing.topic:
            return Outcome("refused", "not a message: no topic", TOPIC_INVALID)
        size = HEADER_ROOM + len(outgoing.payload) + len(outgoing.correlation_data or b"")
        size += len(outgoing.topic.encode("utf-8", "replace")) + len(outgoing.content_type)
        if size > self.maximum_packet:
            text = f"{size} bytes; the broker takes {self.maximum_packet} at most"
            return Outcome("refused", text, TOO_LARGE)
        if not self.qos_1:
            return Outcome("refused", "the broker offers QoS 0 only", QOS_NOT_SUPPORTED)
        return None


def limits_of(properties: Properties | None) -> Limits:
    """The limits of a CONNACK; in 3.1.1 it carries none."""
    return Limits(
        receive_maximum=int(getattr(properties, "ReceiveMaximum", 65_535)),
        maximum_packet=int(getattr(properties, "MaximumPacketSize", 268_435_455)),
        may_retain=bool(getattr(properties, "RetainAvailable", 1)),
        qos_1=int(getattr(properties, "MaximumQoS", 1)) >= 1,
        topic_aliases=int(getattr(properties, "TopicAliasMaximum", 0)),
        session_expiry_s=getattr(properties, "SessionExpiryInterval", None),
    )
