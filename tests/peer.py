"""Another client at the broker: what the machines and the operators use."""

from __future__ import annotations

import threading
import time
from types import TracebackType

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


class Peer:
    """Publishes, and collects what it subscribed to; MQTT 5, with a session that is kept."""

    def __init__(self, port: int, client_id: str = "peer") -> None:
        self.seen: list[tuple[str, bytes, bool]] = []
        """(topic, payload, retained)."""
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5
        )
        self.client.on_message = self._take
        self.client.reconnect_delay_set(1, 1)
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = 3600
        self.client.connect("127.0.0.1", port, clean_start=False, properties=session)
        self.client.loop_start()

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def say(self, topic: str, *payloads: bytes, retain: bool = False, qos: int = 1) -> None:
        """Publish and wait until the broker has all of them."""
        infos = [self.client.publish(topic, payload, qos, retain) for payload in payloads]
        for info in infos:
            info.wait_for_publish(20)

    def listen(self, *topics: str) -> Peer:
        """Subscribe and wait until it holds."""
        for topic in topics:
            done = threading.Event()
            self.client.on_subscribe = lambda *_, done=done: done.set()
            deadline = time.monotonic() + 10
            while not self.client.is_connected() and time.monotonic() < deadline:
                time.sleep(0.01)
            self.client.subscribe(topic, 1)
            assert done.wait(10)
        return self

    def payloads(self, start: str = "") -> list[bytes]:
        """What came on topics that begin with ``start``, in order."""
        return [payload for topic, payload, _ in list(self.seen) if topic.startswith(start)]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _take(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self.seen.append((message.topic, bytes(message.payload), message.retain))
