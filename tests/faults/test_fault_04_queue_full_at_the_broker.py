from __future__ import annotations

from pathlib import Path

from brokers import Mosquitto
from plant import Client, Daemon, write_settings

from edge_agent.decode.sparkplug_pb2 import Payload  # type: ignore[attr-defined]

NODE = "spBv1.0/plant/{}/node1"


def payload(seq: int, *, birth: bool = False) -> bytes:
    wire = Payload(timestamp=1_700_000_000_000 + seq * 1000, seq=seq % 256)
    if birth:
        wire.metrics.add(name="bdSeq", datatype=4, long_value=1)
        wire.metrics.add(name="Node Control/Rebirth", datatype=11, boolean_value=False)
        wire.metrics.add(name="flow", alias=1, datatype=9, float_value=1.0)
    else:
        wire.metrics.add(alias=1, float_value=float(seq))
    return bytes(wire.SerializeToString())


def test_fault_04_what_the_broker_dropped_is_noticed_where_the_producer_numbers_its_messages(
    tmp_path: Path,
) -> None:
    with Mosquitto(["max_queued_messages 10", "max_inflight_messages 5"]) as broker:
        config = write_settings(
            tmp_path,
            broker.port,
            telemetry={"sources": [{"topic": "spBv1.0/#", "format": "sparkplug"}]},
            inference={"model": str(tmp_path / "no.gguf")},
        )
        with Client(broker.port, "edge/#", "spBv1.0/plant/NCMD/#") as client:
            with Daemon(config) as daemon:
                client.wait_for("edge/gw1/status")
                client.say(NODE.format("NBIRTH"), payload(0, birth=True))
                client.wait_for("edge/gw1/health", lambda one: one.json["intake"]["readings"] > 0)
                daemon.kill()
            for seq in range(1, 60):  # more than the broker keeps for us
                client.say(NODE.format("NDATA"), payload(seq))
            with Daemon(config) as daemon:
                online = len(client.on("edge/gw1/status"))
                client.wait_for(
                    "edge/gw1/status", lambda _: len(client.on("edge/gw1/status")) > online
                )
                client.say(NODE.format("NBIRTH"), payload(0, birth=True))
                client.say(NODE.format("NDATA"), payload(1))
                client.say(NODE.format("NDATA"), payload(40))
                asked = client.wait_for(NODE.format("NCMD"))
                assert b"Node Control/Rebirth" in asked.payload
                assert daemon.terminate() == 0
        assert "Outgoing messages are being dropped" in broker.log
