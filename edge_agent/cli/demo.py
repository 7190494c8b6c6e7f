"""``edge-agent demo``: from a broker to a diagnosis on the screen."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from edge_agent.cli.simulate import stop_on_signals
from edge_agent.errors import BadConfig
from edge_agent.simulate.faults import FaultName

CARD = "simulated-pump.toml"
CARDS = Path(__file__).resolve().parents[2] / "configs" / "equipment"
"""The cards of the checkout that this module lies in."""
INSTALLED = Path("/etc/edge-agent/equipment")
"""Where the Debian package puts them."""


def demo(
    data: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A recording (CSV) instead of the pump."),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Equipment card that describes it."),
    ] = None,
    fault: Annotated[
        FaultName, typer.Option(metavar="NAME", help="What goes wrong with the simulated pump.")
    ] = FaultName.BEARING_WEAR,
    speed: Annotated[
        float, typer.Option(min=1, max=2000, help="Rows a second; learning goes four times faster.")
    ] = 25.0,
    learn_rows: Annotated[
        int, typer.Option(min=30, help="Rows of normal operation that the agent learns from.")
    ] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same simulated readings.")] = 0,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds to wait for the diagnosis.")
    ] = 300.0,
    plain: Annotated[
        bool, typer.Option("--plain", help="Lines instead of a live view, as without a terminal.")
    ] = False,
    broker: Annotated[
        Literal["auto", "mosquitto", "amqtt"], typer.Option(help="Which broker to start.")
    ] = "auto",
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the temporary folder with settings and logs.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the Diagnosis as JSON; all else goes to stderr.")
    ] = False,
) -> None:
    """Show the whole agent at work: a machine goes wrong, the local model says why.

    Starts a broker on a free loopback port (mosquitto where it is installed, else amqtt) and the
    real daemon on it, plays a simulated pump or your own recording until the daemon has learned
    what is normal, lets a fault develop, and watches the broker as any MQTT client would. Nothing
    stays behind: no process, no file.

    Exit code 0: a valid Diagnosis of the fault came over MQTT. 1: none came in time, or something
    broke; the folder with the logs is kept and named.

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

    - `edge-agent demo`
    - `edge-agent demo --fault cavitation --speed 50`
    - `edge-agent demo --data run.csv --card card.toml`
    """
    from rich.console import Console

    from edge_agent.demo.scenario import recorded_scenario, simulated_scenario
    from edge_agent.demo.show import Demonstration, Options

    if (data is None) != (card is None):
        raise typer.BadParameter("--data and --card belong together: give both, or neither")
    console = Console(stderr=as_json)
    if data is not None and card is not None:
        scenario = recorded_scenario(data, card, learn_rows=learn_rows)
    else:
        scenario = simulated_scenario(
            fault, _pump_card(), learn_rows=learn_rows, seed=seed, now=time.time()
        )
    options = Options(
        rows_per_second=speed,
        timeout_s=timeout,
        plain=plain or as_json or not console.is_terminal,
        broker=broker,
        keep=keep,
    )
    answer = Demonstration(scenario, options, console, stop_on_signals()).run()
    if answer is None:
        console.print("no diagnosis arrived", style="bold red")
        raise typer.Exit(1)
    if as_json:
        typer.echo(answer.model_dump_json())


def _pump_card() -> Path:
    for folder in (CARDS, INSTALLED):
        if (folder / CARD).is_file():
            return folder / CARD
    raise BadConfig(
        f"the simulated pump's card, {CARD}, is neither in {CARDS} nor in {INSTALLED}: get it from "
        "the project's configs/equipment, or show a recording of yours with --data and --card"
    )
