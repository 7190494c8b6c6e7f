"""``scripts/fleet_demo``: a broker and five real agents; a good change goes through them in waves,
one that breaks is undone by the first agent that has it, and the push halts.

Every line that begins with ``$`` is a command that is run as it stands.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edge_agent.config import toml_text
from edge_agent.config.broker import MqttSection
from edge_agent.demo.broker import start_broker
from edge_agent.demo.children import Child
from edge_agent.errors import EdgeAgentError, Unavailable
from edge_agent.streaming import Client

NAMES = tuple(f"gateway-{number}" for number in range(1, 6))
PROBATION_S = 6
START_S = 120.0

SETTINGS = """\
[agent]
id = {name}

[mqtt]
host = {host}
port = {port}

[rollout]
trust_anchors = {anchors}
groups = ["pumps"]
probation_s = {probation_s}

[store]
state_dir = {state}

[govern]
memory_mb = 300

[log]
format = "json"
"""

GOOD = """\
# Report health twice as often, warn a little earlier.
[health]
interval_s = 30

[detect]
sensitivity = 1.2
"""

BREAKS = """\
# A slip of the pen: the plant publishes below plant/, not plants/.
[[telemetry.sources]]
topic = "plants/{equipment}/telemetry"
time = "timestamp"
"""


def main() -> None:
    """Run the demonstration; exit code 1 if anything did not go as it should."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-demo-")))
        try:
            _demonstrate(folder, stack)
        except EdgeAgentError as error:
            say(f"fleet_demo: {error}")
            sys.exit(1)


def _demonstrate(folder: Path, stack: contextlib.ExitStack) -> None:
    broker = start_broker(folder)
    stack.callback(broker.child.stop)
    endpoint = broker.endpoint
    say(f"# a broker ({broker.kind}), five agents, one simulated pump that all of them watch")
    config(folder, 0, "keygen", "fleet")
    for name in NAMES:
        stack.callback(_start_agent(folder, name, endpoint).stop)
    stack.callback(_start_pump(folder, endpoint).stop)
    _wait_for_reports(endpoint)
    time.sleep(PROBATION_S)  # the agents see how telemetry usually comes
    line = ("--port", str(endpoint.port))
    waves = ("--canary", "1", "--then", "50%", "--then", "all", "--stop-on", "rolled_back")
    signed = ("--group", "pumps", "--key", "fleet.pem")

    say("\n# 1. a good change, in waves: one agent, half of them, all")
    _show(folder / "good.toml", GOOD)
    config(folder, 0, "push", "good.toml", *signed, *waves, *line)
    say("\n# 2. a change that is valid, and wrong: the first agent undoes it, the push halts")
    _show(folder / "breaks.toml", BREAKS)
    config(folder, 1, "push", "breaks.toml", *signed, *waves, *line)
    say("\n# 3. what the fleet reports now")
    config(folder, 0, "status", *line)
    say("\n# 4. an unsigned push, and one with a value that cannot be")
    (folder / "bad.toml").write_text("[health]\ninterval_s = 0\n", encoding="utf-8")
    config(folder, 1, "push", "good.toml", "--agent", NAMES[1], *line)
    config(folder, 1, "push", "bad.toml", "--agent", NAMES[1], "--key", "fleet.pem", *line)
    say("\n# 5. back to the settings before, for all")
    config(folder, 0, "rollback", *signed, *line)
    config(folder, 0, "diff", NAMES[0], "--file", f"{NAMES[0]}.toml", *line)


def _start_agent(folder: Path, name: str, endpoint: MqttSection) -> Child:
    values = {
        "name": name,
        "host": endpoint.host,
        "port": endpoint.port,
        "anchors": str(folder / "fleet.toml"),
        "state": str(folder / name),
        "probation_s": PROBATION_S,
    }
    settings = folder / f"{name}.toml"
    written = {name: toml_text.value(one) for name, one in values.items()}
    settings.write_text(SETTINGS.format(**written), encoding="utf-8")
    command = [sys.executable, "-m", "edge_agent", "run", "--config", str(settings)]
    return Child(name, command, folder / f"{name}.log")


def _start_pump(folder: Path, endpoint: MqttSection) -> Child:
    where = ["--host", endpoint.host, "--port", str(endpoint.port)]
    command = [sys.executable, "-m", "edge_agent", "simulate", *where, "--speed", "1"]
    return Child("the pump", command, folder / "pump.log")


def _wait_for_reports(endpoint: MqttSection) -> None:
    """Until every agent has reported its settings."""
    heard: set[str] = set()

    def listen(topic: str, _: bytes) -> None:
        heard.add(topic.split("/")[1])

    with Client(endpoint, deliver=listen) as client:
        client.subscribe(["edge/+/config/reported"])
        deadline = time.monotonic() + START_S
        while len(heard) < len(NAMES):
            if time.monotonic() > deadline:
                silent = ", ".join(sorted(set(NAMES) - heard))
                raise Unavailable(f"no report within {START_S:.0f} s from {silent}")
            time.sleep(0.1)


def config(folder: Path, expected: int, *arguments: str) -> None:
    """Run ``edge-agent config …``, its output as it comes. Raises ``Unavailable`` where the exit
    code is not the expected one."""
    say(f"$ edge-agent config {shlex.join(arguments)}")
    command = [sys.executable, "-m", "edge_agent", "config", *arguments]
    environment = {"COLUMNS": "120", **os.environ}
    code = subprocess.run(command, cwd=folder, env=environment, check=False).returncode
    if code != expected:
        raise Unavailable(f"exit code {code}, expected {expected}")


def _show(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    say(f"$ cat {path.name}\n{text.rstrip()}")


def say(text: str) -> None:
    """A line of the demonstration, in order with what its commands print."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
