"""The receivers that ``bench ingest`` compares: the daemon, a bare paho loop, Node-RED."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_agent.bench.process import Measured, Progress, wait_for
from edge_agent.errors import Unavailable

READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a receiver is to take in."""

    port: int
    qos: int
    signals: int
    cpus: set[int]


class Receiver:
    """A started receiver: its process, and how far it has come by a file that it rewrites."""

    def __init__(self, measured: Measured, path: Path, ready: Callable[[Path], bool]) -> None:
        self.measured = measured
        self._path = path
        wait_for(path, measured, READY_S)
        deadline = time.monotonic() + READY_S
        while not ready(path):
            measured.check()
            if time.monotonic() > deadline:
                raise Unavailable(f"{measured.name} did not subscribe within {READY_S:.0f} s")
            time.sleep(0.05)

    def progress(self) -> Progress:
        """Messages taken, and when that was so."""
        self.measured.check()
        document = json.loads(self._path.read_text(encoding="utf-8"))
        counts = document.get("intake", document)
        return Progress(self._path.stat().st_mtime, counts["messages"], counts.get("shed", 0))


def daemon(folder: Path, load: Load) -> Receiver:
    """The real daemon: ``edge-agent run`` on a settings file of its own, detection on."""
    state = folder / "state"
    (folder / "cards").mkdir()
    machines = load.signals // 10 + 1
    settings = folder / "agent.toml"
    settings.write_text(
        f"""
[agent]
id = "bench"
[mqtt]
host = "127.0.0.1"
port = {load.port}
[telemetry]
max_equipment = {machines}
[[telemetry.sources]]
topic = "bench/{{equipment}}/{{signal}}"
time = "timestamp"
qos = {load.qos}
[detect]
learn_rows = 30
[diagnose]
cards = "{folder / "cards"}"
[store]
state_dir = "{state}"
[health]
interval_s = 1
[log]
level = "warning"
format = "json"
""",
        encoding="utf-8",
    )
    measured = Measured(
        "edge-agent",
        [sys.executable, "-m", "edge_agent", "run", "--config", str(settings)],
        folder / "daemon.log",
        cpus=load.cpus,
        environment={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    return _or_stop(measured, state / "status.json", _connected)


def _connected(path: Path) -> bool:
    return bool(json.loads(path.read_text(encoding="utf-8"))["mqtt"]["connected"])


def paho_callback(folder: Path, load: Load) -> Receiver:
    """A paho client whose callback only counts."""
    path = folder / "paho.json"
    command = [sys.executable, "-m", "edge_agent.bench.bare_paho"]
    measured = Measured(
        "paho",
        [*command, str(load.port), str(load.qos), str(path)],
        folder / "paho.log",
        cpus=load.cpus,
    )
    return _or_stop(measured, path, lambda _: True)


def node_red(folder: Path, load: Load, red: str) -> Receiver:
    """Node-RED that parses the JSON and keeps a rolling mean of each topic; ``red``: its
    ``red.js``."""
    home = folder / "node-red"
    home.mkdir()
    path = folder / "node-red.json"
    (home / "settings.js").write_text(
        "module.exports = {uiPort: 0, uiHost: '127.0.0.1', httpAdminRoot: false,"
        " httpNodeRoot: false, flowFile: 'flows.json',"
        " functionGlobalContext: {fs: require('fs')},"
        " logging: {console: {level: 'info'}}}",
        encoding="utf-8",
    )
    (home / "flows.json").write_text(json.dumps(_flow(load, path)), encoding="utf-8")
    node = shutil.which("node")
    if node is None:
        raise Unavailable("node is not installed")
    measured = Measured(
        "Node-RED",
        [node, red, "--userDir", str(home), "--settings", str(home / "settings.js")],
        folder / "node-red.log",
        cpus=load.cpus,
    )
    return _or_stop(measured, path, lambda _: True)


ROLLING_MEAN = """
const means = context.get('means') || new Map();
if (!context.get('means')) context.set('means', means);
let last = means.get(msg.topic);
if (!last) { last = {sum: 0, values: []}; means.set(msg.topic, last); }
const value = msg.payload.value;
last.values.push(value);
last.sum += value;
if (last.values.length > 60) last.sum -= last.values.shift();
msg.payload = last.sum / last.values.length;
context.count = (context.count || 0) + 1;
return null;
"""

LEAVE_COUNT = """
const fs = global.get('fs');
context.counter = setInterval(() => {
    fs.writeFileSync(PATH + '.new', JSON.stringify({messages: context.count || 0}));
    fs.renameSync(PATH + '.new', PATH);
}, 200);
"""


def _flow(load: Load, path: Path) -> list[dict[str, object]]:
    broker: dict[str, object] = {
        "id": "broker",
        "type": "mqtt-broker",
        "broker": "127.0.0.1",
        "port": str(load.port),
        "protocolVersion": "5",
        "cleansession": True,
        "keepalive": "60",
    }
    source: dict[str, object] = {
        "id": "in",
        "type": "mqtt in",
        "z": "tab",
        "topic": "bench/#",
        "qos": str(load.qos),
        "datatype": "json",
        "broker": "broker",
        "wires": [["mean"]],
    }
    mean: dict[str, object] = {
        "id": "mean",
        "type": "function",
        "z": "tab",
        "func": ROLLING_MEAN,
        "initialize": LEAVE_COUNT.replace("PATH", json.dumps(str(path))),
        "finalize": "clearInterval(context.counter);",
        "outputs": 0,
        "wires": [],
    }
    return [{"id": "tab", "type": "tab", "label": "bench"}, broker, source, mean]


def _or_stop(measured: Measured, path: Path, ready: Callable[[Path], bool]) -> Receiver:
    try:
        return Receiver(measured, path, ready)
    except BaseException:
        measured.stop()
        raise
