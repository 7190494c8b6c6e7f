from __future__ import annotations

import json
from pathlib import Path

from brokers import Mosquitto, wait_until
from mounts import fill, small_disk
from plant import Client, Daemon, Row, write_settings

from edge_agent.simulate.faults import Fault, FaultName
from edge_agent.simulate.pump import PumpLoop

MACHINE = "simulated-pump"
ONSET_S = 300


def rows(count: int) -> list[Row]:
    loop = PumpLoop(7, [Fault(FaultName.OUTLET_VALVE_CLOSING, onset_s=ONSET_S, develop_s=60)])
    return [loop.step(1.0) for _ in range(count)]


def test_fault_19_the_daemon_waits_for_room_and_loses_nothing(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with (
        small_disk(tmp_path / "disk", 16) as disk,
        Client(broker.port, "edge/#") as client,
    ):
        config = write_settings(
            tmp_path,
            broker.port,
            store={"state_dir": str(disk / "state"), "ballast_mb": 0, "max_mb": 8},
            inference={"model": str(tmp_path / "no.gguf")},
        )
        with Daemon(config) as daemon:
            client.wait_for("edge/gw1/status")
            everything = rows(480)
            client.stream(MACHINE, everything[:ONSET_S])
            client.wait_for(
                "edge/gw1/health", lambda one: one.json["intake"]["readings"] >= ONSET_S * 9
            )
            filler = fill(disk)
            client.stream(MACHINE, everything[ONSET_S:], start=1.7e9 + ONSET_S)
            wait_until(lambda: "store_cannot_write" in daemon.log, 30, "the disk to be noticed")
            assert client.on(f"edge/gw1/incident/{MACHINE}") == []
            assert daemon.process
            assert daemon.process.poll() is None
            filler.unlink()
            client.wait_for(f"edge/gw1/incident/{MACHINE}")
            client.wait_for(f"edge/gw1/diagnosis/{MACHINE}")
            assert daemon.terminate() == 0
        lines = [json.loads(line) for line in daemon.log.splitlines() if line.startswith("{")]
        assert not [line for line in lines if line["event"] == "loop_failed"]
