"""Says to Sparkplug nodes whether their host is there: the retained STATE (specification 3.0,
chapter 5).

A node whose primary host is away keeps its data for later, so STATE must be true: it rests on a
connection of its own, whose last will is the death that matches the birth, since the agent's own
connection has its status as will and keeps its session, which a host's must not.
"""

from __future__ import annotations

import json
import time

from edge_agent.config.broker import MqttSection
from edge_agent.decode.sparkplug_wire import host_state
from edge_agent.domain.outgoing import Outgoing
from edge_agent.domain.telemetry import Message
from edge_agent.mqtt.broker import Broker


class HostPresence:
    """``start`` it, ``tend`` it each few seconds, ``stop`` it."""

    def __init__(self, settings: MqttSection, client_id: str, host_id: str) -> None:
        self._host_id = host_id
        self._since = 0.0
        self._leaving = False
        self._broker = Broker(
            settings.model_copy(update={"client_id": None, "session_expiry_s": 0}),
            client_id=f"{client_id}-host",
            will=self._death,
            birth=self._birth,
            deliver=self._contradict,
        )

    def start(self) -> None:
        """Connect, say so, and keep it up."""
        self._broker.subscribe([(self._birth().topic, 1)])
        self._broker.start()

    def tend(self) -> None:
        """Replace a network thread that died."""
        self._broker.ensure_running()

    def stop(self) -> None:
        """Say that the host leaves, and disconnect."""
        self._leaving = True
        self._broker.stop()

    def _death(self) -> Outgoing:
        """The will of a new connection, whose birth has the same time."""
        self._since = time.time()
        return host_state(self._host_id, online=False, since=self._since)

    def _birth(self) -> Outgoing:
        return host_state(self._host_id, online=True, since=self._since)

    def _contradict(self, message: Message) -> None:
        """Whoever says that we are away while we are here, such as the late will of a connection
        that the broker had not missed yet, must not be believed. What was retained is older than
        our birth, which is on its way."""
        spoken = not message.retained
        if spoken and not self._leaving and _says_offline(message.payload):
            self._broker.publish(self._birth())
        self._broker.ack(message)


def _says_offline(payload: bytes) -> bool:
    try:
        told = json.loads(payload)
    except ValueError:
        return False
    return isinstance(told, dict) and told.get("online") is False
