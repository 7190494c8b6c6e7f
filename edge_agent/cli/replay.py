"""``edge-agent replay``: a recording, played to a broker as if the machine were there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from edge_agent.cli.broker_options import BrokerFile, Host, Port, broker_of
from edge_agent.cli.simulate import stop_on_signals

if TYPE_CHECKING:
    from edge_agent.config.broker import MqttSection
    from edge_agent.recording import Recording


def replay(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="CSV file, plain or gzipped.")
    ],
    speed: Annotated[
        str, typer.Option(help="Times its own pace, or max: as fast as the broker takes it.")
    ] = "1",
    equipment: Annotated[
        str, typer.Option(help="Name of the machine; default: the file's name.")
    ] = "",
    topic: Annotated[
        str, typer.Option(help="Topic; {equipment} is replaced.")
    ] = "plant/{equipment}/telemetry",
    config: BrokerFile = None,
    host: Host = "localhost",
    port: Port = 1883,
    listing: Annotated[
        bool, typer.Option("--list", help="Only show what the file holds; publish nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as one JSON object.")] = False,
) -> None:
    """Play a CSV recording to a broker, with the timestamps that it holds.

    The first line names the columns. One is the time: ISO 8601 (UTC where no zone is given), Unix
    seconds or milliseconds, or a counter in seconds, which then starts now. Each other one is a
    signal; a unit may follow its name in brackets, as in `flow [L/min]`. Comma, semicolon and tab
    separate; with semicolons, decimal commas are read too. Empty cells are holes: that signal is
    left out of that row. Columns without a number are left out, and named by `--list`.

    Rows go out at QoS 1; with `--speed max` as fast as the broker acknowledges them.

    Examples:

    - `edge-agent replay pump.csv.gz --list`
    - `edge-agent replay pump.csv.gz --equipment pump-7 --speed 60`
    - `edge-agent replay pump.csv --topic site/a/pump-7 --speed max --json`
    """
    from edge_agent.recording import read_recording

    pace = parse_speed(speed)
    recording = read_recording(file)
    name = equipment or equipment_name(file)
    if listing:
        _show(recording, name, as_json)
        return
    _play(
        recording, topic.replace("{equipment}", name), broker_of(config, host, port), pace, as_json
    )


def parse_speed(text: str) -> float | None:
    """A positive number, or None for ``max``."""
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise typer.BadParameter(f"--speed {text}: write a number above 0, or max")
    return speed


def equipment_name(file: Path) -> str:
    """The file's name without its endings, as one level of a topic."""
    stem = re.sub(r"(\.csv)?(\.gz)?$", "", file.name, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9_.:-]", "_", stem)[:64] or "recording"


def _play(
    recording: Recording, topic: str, broker: MqttSection, pace: float | None, as_json: bool
) -> None:
    import time

    from edge_agent.streaming import Client, stream, telemetry_payload

    console = Console(stderr=True)
    stop = stop_on_signals()
    with Client(broker) as client, Progress(console=console, transient=True) as progress:
        bar = progress.add_task(f"→ {topic}", total=len(recording.times))

        def send(at: float, values: dict[str, float]) -> None:
            client.publish(topic, telemetry_payload(at, values))
            progress.advance(bar)

        done = stream(recording.rows(origin=time.time()), send, speed=pace, stop=stop)
        client.drain()
    per_second = done.rows / done.seconds if done.seconds else 0.0
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "topic": topic,
                    "rows": done.rows,
                    "seconds": round(done.seconds, 3),
                    "rows_per_second": round(per_second, 1),
                    "complete": not stop.is_set(),
                }
            )
        )
    else:
        console.print(
            f"{done.rows} rows → {topic} in {done.seconds:.1f} s ({per_second:.0f} rows/s)",
            highlight=False,
            soft_wrap=True,
        )


def _show(recording: Recording, name: str, as_json: bool) -> None:
    import numpy as np

    facts = {
        "file": str(recording.path),
        "equipment": name,
        "rows": len(recording.times),
        "time": recording.time_kind,
        "start": float(recording.times[0]),
        "end": float(recording.times[-1]),
        "period_s": recording.period_s,
        "holes": recording.holes,
        "backwards": recording.backwards,
        "dropped": list(recording.dropped),
        "signals": [
            {
                "name": column,
                "unit": recording.units.get(column, ""),
                "min": float(np.nanmin(recording.values[:, i])),
                "median": float(np.nanmedian(recording.values[:, i])),
                "max": float(np.nanmax(recording.values[:, i])),
                "holes": int(np.isnan(recording.values[:, i]).sum()),
            }
            for i, column in enumerate(recording.columns)
        ],
    }
    if as_json:
        typer.echo(json.dumps(facts))
        return
    table = Table(title=f"{recording.path.name}: {len(recording.times)} rows")
    table.add_column("signal")
    table.add_column("unit")
    for heading in ("min", "median", "max", "holes"):
        table.add_column(heading, justify="right")
    for i, column in enumerate(recording.columns):
        values = recording.values[:, i]
        table.add_row(
            column,
            recording.units.get(column, ""),
            *(f"{v:.5g}" for v in (np.nanmin(values), np.nanmedian(values), np.nanmax(values))),
            str(int(np.isnan(values).sum())),
        )
    console = Console()
    console.print(table)
    console.print(
        f"one row each {recording.period_s:g} s (median), {recording.backwards} rows back in time"
        + (f", left out: {', '.join(recording.dropped)}" if recording.dropped else ""),
        highlight=False,
        soft_wrap=True,
    )
