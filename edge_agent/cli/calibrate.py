"""``edge-agent calibrate``: fit the power estimate to a meter."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_agent.errors import BadPayload

if TYPE_CHECKING:
    from edge_agent.config import Settings
    from edge_agent.govern.vitals import Vitals

METER_FRESH_S = 15.0


class LiveMeter:
    """The last figure of the settings' MQTT meter. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._govern = settings.govern
        self._lock = threading.Lock()
        self._last: tuple[float, float] | None = None

    def deliver(self, _topic: str, payload: bytes) -> None:
        """A message of the meter; what holds no power is said and left out."""
        from edge_agent.govern.meter import meter_watts

        try:
            watts = meter_watts(payload, self._govern.meter_field, self._govern.meter_scale)
        except BadPayload as error:
            typer.echo(f"edge-agent: {error}", err=True)
            return
        with self._lock:
            self._last = (watts, time.monotonic())

    def watts(self, _vitals: Vitals) -> float | None:
        """What it said last, unless that is old."""
        with self._lock:
            if self._last is None or time.monotonic() - self._last[1] > METER_FRESH_S:
                return None
            return self._last[0]


def calibrate(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Settings file.", envvar="EDGE_AGENT_CONFIG"),
    ] = None,
    seconds: Annotated[float, typer.Option(min=2, help="Length of each step.")] = 20.0,
    by_hand: Annotated[bool, typer.Option(help="Ask for the meter's figure at each step.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Load the machine in steps, read its power, and print the settings that estimate it.

    The power comes from the settings' MQTT meter, else from the machine's own sensor, else from
    you (--by-hand).
    """
    from rich.console import Console

    from edge_agent.config import Settings, load_settings
    from edge_agent.govern.calibration import fit, measure
    from edge_agent.govern.cpu import whole_threads
    from edge_agent.govern.sensors import Sensors

    settings = Settings() if config is None else load_settings(config)
    sensors = Sensors(settings.govern)
    cores = whole_threads(sensors.sample(time.monotonic()).cores)
    loads = sorted({0, max(1, cores // 2), cores})
    with ExitStack() as stack, Console(stderr=True).status("") as status:
        watts = _source(settings, stack, by_hand, status.stop)
        points = measure(
            loads,
            seconds,
            sample=lambda: sensors.sample(time.monotonic()),
            watts=watts,
            progress=status.update,
        )
    found = fit(points)
    idle, per_core = round(found.idle_watts, 2), round(found.watts_per_core, 2)
    if as_json:
        document = {
            "idle_watts": idle,
            "watts_per_core": per_core,
            "worst_watts": round(found.worst_watts, 2),
            "points": [{"busy_cores": p.busy_cores, "watts": p.watts} for p in points],
        }
        typer.echo(json.dumps(document))
        return
    for point in points:
        typer.echo(f"# {point.busy_cores:.2f} busy cores: {point.watts:.2f} W")
    typer.echo(f"# the line is off by {found.worst_watts:.2f} W at most")
    typer.echo(f"[govern]\nidle_watts = {idle}\nwatts_per_core = {per_core}")


def _source(
    settings: Settings, stack: ExitStack, by_hand: bool, pause: Callable[[], None]
) -> Callable[[Vitals], float | None]:
    if by_hand:
        return _Typed(pause).watts
    if settings.govern.meter_topic is None:
        return lambda vitals: vitals.watts.value
    from edge_agent.streaming import Client

    meter = LiveMeter(settings)
    client = stack.enter_context(Client(settings.mqtt, deliver=meter.deliver))
    client.subscribe([settings.govern.meter_topic])
    return meter.watts


class _Typed:
    """A person reads the meter: asked at every sample, an empty line keeps the figure."""

    def __init__(self, pause: Callable[[], None]) -> None:
        self._pause = pause
        self._last: float | None = None

    def watts(self, vitals: Vitals) -> float | None:
        self._pause()
        busy = vitals.busy_cores.value or 0.0
        question = f"watts on the meter, at {busy:.1f} busy cores"
        self._last = float(typer.prompt(question, default=self._last, type=float))
        return self._last
