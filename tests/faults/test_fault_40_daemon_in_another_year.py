from __future__ import annotations

from pathlib import Path

import faketime
from brokers import Mosquitto, wait_until
from plant import Client, Daemon, Row, write_settings

MACHINE = "simulated-pump"


def rows(count: int) -> list[Row]:
    return [{"flow": 10.0 + (n * 7 % 13) / 13} for n in range(count)]


def test_fault_40_the_daemon_works_in_any_year_and_when_it_changes(
    broker: Mosquitto, tmp_path: Path
) -> None:
    years = [faketime.at("1970-01-01 00:01:00"), faketime.at("+3650d"), {}]
    config = write_settings(tmp_path, broker.port, inference={"model": str(tmp_path / "no.gguf")})
    with Client(broker.port, "edge/#", "answers/#") as client:
        with Daemon(config) as daemon:
            client.wait_for("edge/gw1/status")
            client.stream(MACHINE, rows(300))
            client.wait_for("edge/gw1/health", lambda one: one.json["intake"]["readings"] >= 300)
            assert daemon.terminate() == 0
        for number, year in enumerate(years):
            name = f"c{number}".encode()
            with Daemon(config, **year) as daemon:
                ask(client, name)
                wait_until(lambda name=name: answered(client, name), 60, "the diagnosis")  # type: ignore[misc]
                assert daemon.terminate() == 0
        assert "outbox_expired" not in daemon.log


def test_fault_40_the_clock_jumps_ten_years_while_the_daemon_runs(
    broker: Mosquitto, tmp_path: Path
) -> None:
    clock = faketime.Clock(tmp_path)
    config = write_settings(tmp_path, broker.port, inference={"model": str(tmp_path / "no.gguf")})
    with (
        Client(broker.port, "edge/#", "answers/#") as client,
        Daemon(config, **clock.environment) as daemon,
    ):
        client.wait_for("edge/gw1/status")
        client.stream(MACHINE, rows(300))
        client.wait_for("edge/gw1/health", lambda one: one.json["intake"]["readings"] >= 300)
        for number, offset in enumerate(("+3650d", "-3650d", "+0")):
            clock.set(offset)
            name = f"j{number}".encode()
            ask(client, name)
            wait_until(lambda name=name: answered(client, name), 60, "the diagnosis")  # type: ignore[misc]
            heard = len(client.on("edge/gw1/health"))
            wait_until(lambda n=heard: len(client.on("edge/gw1/health")) > n, 30, "health")  # type: ignore[misc]
        years = {one.json["at"][:4] for one in client.on("edge/gw1/health")}
        assert len(years) >= 3, f"the clock did jump: {years}"
        assert daemon.terminate() == 0
    for complaint in ("watchdog_withheld", "loop_failed", "agent_failed", "broker_unreachable"):
        assert complaint not in daemon.log
    assert daemon.log.count("broker_connected") == 1


def ask(client: Client, correlation: bytes) -> None:
    client.say(
        "edge/gw1/cmd/diagnose",
        {"equipment": MACHINE},
        response_topic="answers/here",
        correlation=correlation,
    )


def answered(client: Client, correlation: bytes) -> bool:
    return any(
        one.correlation == correlation and "verdict" in one.json
        for one in client.on("answers/here")
    )
