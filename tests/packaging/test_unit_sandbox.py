"""Daemon and worker do their work under the system call filters of their units."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from brokers import Mosquitto, wait_until
from plant import REPOSITORY, Client, Heard, write_settings

from edge_agent.domain.diagnosis import Diagnosis
from edge_agent.simulate.faults import Fault, FaultName
from edge_agent.simulate.pump import PumpLoop

SANDBOX = Path(__file__).with_name("unitsandbox.py")


@contextmanager
def confined(unit: str, log: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """``edge-agent WORDS`` under the filter of ``unit``."""
    command = [sys.executable, str(SANDBOX), str(REPOSITORY / "systemd" / f"{unit}.service")]
    command += [sys.executable, "-m", "edge_agent", *words]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with (
        log.open("wb") as sink,
        subprocess.Popen(command, stderr=sink, stdout=sink, env=environment) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def say_that_a_pump_fails(client: Client) -> Heard:
    client.wait_for("edge/gw1/status", lambda one: bool(one.json["state"] == "online"))
    loop = PumpLoop(7, [Fault(FaultName.OUTLET_VALVE_CLOSING, onset_s=300, develop_s=60)])
    client.stream("simulated-pump", [loop.step(1.0) for _ in range(480)])
    return client.wait_for("edge/gw1/diagnosis/simulated-pump", seconds=120)


@pytest.mark.model
@pytest.mark.parametrize("own_unit", [False, True], ids=["one-unit", "two-units"])
def test_a_model_answers_inside_the_sandbox(tmp_path: Path, own_unit: bool) -> None:
    log, worker_log = tmp_path / "agent.log", tmp_path / "worker.log"
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto())
        if own_unit:
            socket = tmp_path / "inference.sock"
            config = write_settings(tmp_path, broker.port, inference={"socket": str(socket)})
            words = ("worker", "--config", str(config))
            stack.enter_context(confined("edge-agent-inference", worker_log, *words))
            wait_until(socket.exists, 30, "the worker's socket")
        else:
            config = write_settings(tmp_path, broker.port)
        client = stack.enter_context(Client(broker.port, "edge/#"))
        process = stack.enter_context(confined("edge-agent", log, "run", "--config", str(config)))
        diagnosis = Diagnosis.model_validate_json(say_that_a_pump_fails(client).payload)
        assert process.poll() is None
    assert (diagnosis.source, diagnosis.simulated) == ("model", True), log.read_text()[-3000:]
    assert ("worker_spawned" in log.read_text()) is not own_unit
