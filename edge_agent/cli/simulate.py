"""``edge-agent simulate``: a pump that does not exist, on a real broker."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console

from edge_agent.cli.broker_options import BrokerFile, Host, Port, broker_of
from edge_agent.simulate.faults import DEFAULT_SENSOR, Fault, FaultName


def simulate(
    config: BrokerFile = None,
    host: Host = "localhost",
    port: Port = 1883,
    equipment: Annotated[
        str,
        typer.Option(help="Name of the machine: one level of a topic.", rich_help_panel="Broker"),
    ] = "simulated-pump",
    topic: Annotated[
        str, typer.Option(help="Topic; {equipment} is replaced.", rich_help_panel="Broker")
    ] = "plant/{equipment}/telemetry",
    fault: Annotated[
        FaultName | None,
        typer.Option(
            metavar="NAME", help="Fault to develop; none if absent.", rich_help_panel="Fault"
        ),
    ] = None,
    sensor: Annotated[
        str,
        typer.Option(
            help="Which instrument fails, for stuck_sensor and drifting_sensor.",
            rich_help_panel="Fault",
        ),
    ] = "",
    onset: Annotated[
        float,
        typer.Option(
            min=0, help="Simulated seconds until the fault begins.", rich_help_panel="Fault"
        ),
    ] = 600.0,
    develop: Annotated[
        float,
        typer.Option(
            min=0, help="Simulated seconds until it is fully there.", rich_help_panel="Fault"
        ),
    ] = 120.0,
    severity: Annotated[
        float,
        typer.Option(min=0.01, max=1.0, help="How bad it gets, up to 1.", rich_help_panel="Fault"),
    ] = 1.0,
    rate: Annotated[
        float,
        typer.Option(
            min=0.01, max=1000, help="Rows per simulated second (Hz).", rich_help_panel="Time"
        ),
    ] = 1.0,
    speed: Annotated[
        float,
        typer.Option(min=0.001, help="Simulated seconds per real second.", rich_help_panel="Time"),
    ] = 1.0,
    seed: Annotated[
        int, typer.Option(min=0, help="Same seed, same readings.", rich_help_panel="Time")
    ] = 0,
    duration: Annotated[
        float | None,
        typer.Option(
            "--for",
            min=0,
            help="Simulated seconds to run; absent: until stopped.",
            rich_help_panel="Time",
        ),
    ] = None,
    cold: Annotated[
        bool, typer.Option("--cold", help="Start with a cold machine.", rich_help_panel="Time")
    ] = False,
) -> None:
    """Publish the telemetry of a simulated pump, with a fault that develops over time.

    A small physical model of a motor-driven centrifugal pump loop: flow, suction and discharge
    pressure, motor current and voltage, vibration, and the temperatures of motor, bearing and
    water, as JSON at QoS 1. Every message carries the MQTT 5 user property `simulated=true`.

    Timestamps start now. With `--speed` above 1 they run ahead of the clock, unless `--for` says
    how long it runs: then they end now.

    Faults, by the name to give:

    - `inlet_valve_closing`: flow, suction and discharge pressure fall
    - `outlet_valve_closing`: flow falls, discharge pressure rises
    - `leak`: flow and discharge pressure fall, current rises, the tank empties
    - `cavitation`: low tank and air: flow and current fall, vibration rises
    - `imbalance`: vibration rises, nothing else
    - `bearing_wear`: bearing temperature and vibration rise
    - `blocked_cooling`: motor temperature rises, slowly
    - `stuck_sensor`: an instrument repeats its last value
    - `drifting_sensor`: an instrument drifts, the machine is well

    Examples:

    - `edge-agent simulate --host broker.local`
    - `edge-agent simulate --fault leak --onset 300 --speed 10 --for 900`
    - `edge-agent simulate --fault stuck_sensor --sensor motor_current`
    """
    from edge_agent.simulate.pump import SIMULATED_PROPERTY, pump_rows
    from edge_agent.streaming import Client, stream, telemetry_payload

    if sensor and fault not in DEFAULT_SENSOR:
        raise typer.BadParameter("--sensor goes with --fault stuck_sensor or drifting_sensor")
    try:
        faults = [Fault(fault, onset, develop, severity, sensor)] if fault else []
        rows = pump_rows(faults, seed=seed, rate=rate, duration=duration, warm=not cold)
        first = next(rows)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except StopIteration:
        return
    start = time.time() - (duration * (1.0 - 1.0 / speed) if duration and speed > 1 else 0.0)
    where = topic.replace("{equipment}", equipment)
    stop = stop_on_signals()
    console = Console(stderr=True)
    broker = broker_of(config, host, port)
    with Client(broker) as client:
        console.print(
            f"simulated data → {where} at {broker.host}:{broker.port} (MQTT {client.protocol}), "
            f"fault: {fault.value if fault else 'none'}; Ctrl-C ends it",
            highlight=False,
            soft_wrap=True,
        )

        def shifted() -> Iterator[tuple[float, dict[str, float]]]:
            yield start + first[0], first[1]
            for at, values in rows:
                yield start + at, values

        done = stream(
            shifted(),
            lambda at, values: client.publish(
                where, telemetry_payload(at, values), SIMULATED_PROPERTY
            ),
            speed=speed,
            stop=stop,
        )
        client.drain()
    console.print(
        f"{done.rows} simulated rows in {done.seconds:.1f} s", highlight=False, soft_wrap=True
    )


def stop_on_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
