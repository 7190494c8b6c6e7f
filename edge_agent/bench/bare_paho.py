"""``python -m edge_agent.bench.bare_paho PORT QOS FILE``: what receiving alone costs in Python.

A paho client whose callback does nothing but count; the count is left in FILE.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from edge_agent.bench.process import leave_progress

FILTER = "bench/#"


def main(port: int, qos: int, path: Path) -> None:
    """Count until SIGTERM."""
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    received = 0

    def on_message(_client: mqtt.Client, _data: object, _message: mqtt.MQTTMessage) -> None:
        nonlocal received
        received += 1

    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    subscribed = threading.Event()
    client.on_message = on_message
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe(FILTER, qos)
    subscribed.wait(10)
    while True:
        leave_progress(path, received)
        threading.Event().wait(0.2)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
