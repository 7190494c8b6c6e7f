"""A real Prometheus beside a running daemon: its scrape, node-exporter's, dashboard and rules."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from brokers import Mosquitto, free_port, wait_until
from plant import REPOSITORY, Client, Daemon, write_settings
from tools import program

from edge_agent.simulate.faults import Fault, FaultName
from edge_agent.simulate.pump import PumpLoop

DASHBOARD = REPOSITORY / "configs" / "grafana" / "edge-agent.json"
RULES = re.compile(r"(?ms)^```yaml\n(groups:.*?)^```")
NEEDS_A_SENSOR = {"edge_agent_temperature_celsius", "edge_agent_temperature_headroom_celsius"}
"""Absent where the host shows none, as in a container."""


@dataclass(frozen=True)
class Monitored:
    """A daemon that has made a diagnosis, its metrics and the Prometheus that scrapes it."""

    metrics: str
    prometheus: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query. Raises where Prometheus cannot parse it."""
        where = f"{self.prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        answer = json.loads(fetch(where))
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


def fetch(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}", timeout=20) as answer:
        text: str = answer.read().decode()
        return text


@contextlib.contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    with log.open("w") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT)
    try:
        yield
        assert process.poll() is None, log.read_text()[-3000:]
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    folder = tmp_path_factory.mktemp("monitored")
    ours, node, server = free_port(), free_port(), free_port()
    with Mosquitto() as broker, contextlib.ExitStack() as stack:
        config = write_settings(
            folder,
            broker.port,
            govern={"power_watts": 8.0},
            diagnose={"settle_s": 1},
            inference={"model": "absent", "fallbacks": []},
            observe={"metrics": {"port": ours, "textfile": str(folder / "edge-agent.prom")}},
        )
        daemon = stack.enter_context(Daemon(config))
        client = stack.enter_context(Client(broker.port, "edge/gw1/#"))
        client.wait_for("edge/gw1/status")
        stack.enter_context(_node_exporter(folder, node))
        stack.enter_context(_prometheus(folder, server, {"edge-agent": ours, "node": node}))
        found = Monitored(f"127.0.0.1:{ours}/metrics", f"127.0.0.1:{server}")
        # An increase is seen only where the time before it was scraped.
        wait_until(lambda: found.query('edge_agent_uptime_seconds{job="edge-agent"}'), 30)
        loop = PumpLoop(7, [Fault(FaultName.OUTLET_VALVE_CLOSING, onset_s=300, develop_s=60)])
        client.stream("simulated-pump", [loop.step(1.0) for _ in range(420)])
        client.wait_for("edge/gw1/diagnosis/simulated-pump")
        counted = 'sum(increase(edge_agent_diagnoses_total{job="edge-agent"}[1h])) > 0'
        wait_until(lambda: found.query(counted), 60, "the first diagnosis as an increase")
        # The textfile is written twice a minute.
        wait_until(lambda: found.query('edge_agent_mqtt_connected{job="node"}'), 60, "textfile")
        yield found
        assert daemon.terminate() == 0


def _node_exporter(folder: Path, port: int) -> contextlib.AbstractContextManager[None]:
    command = [
        program("prometheus-node-exporter"),
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={folder}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    return running(command, folder / "node-exporter.log")


@contextlib.contextmanager
def _prometheus(folder: Path, port: int, jobs: dict[str, int]) -> Iterator[None]:
    scrapes = [
        {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{one}"]}]}
        for name, one in jobs.items()
    ]
    settings = {"global": {"scrape_interval": "1s"}, "scrape_configs": scrapes}
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(settings))
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = folder / "prometheus.log"
    with running(command, log):
        wait_until(lambda: "Server is ready" in log.read_text(), 60, "Prometheus")
        yield


def test_promtool_finds_nothing_to_remark(monitored: Monitored) -> None:
    said = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=fetch(monitored.metrics),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_both_ways_are_scraped_without_an_error(monitored: Monitored) -> None:
    assert {one["metric"]["job"]: one["value"][1] for one in monitored.query("up")} == {
        "edge-agent": "1",
        "node": "1",
    }
    (refused,) = monitored.query("node_textfile_scrape_error")
    assert refused["value"][1] == "0"
    scraped = monitored.query('count({job="edge-agent", __name__=~"edge_agent_.*"})')
    by_file = monitored.query('count({job="node", __name__=~"edge_agent_.*"})')
    assert int(by_file[0]["value"][1]) > 30
    assert int(scraped[0]["value"][1]) >= int(by_file[0]["value"][1])


def test_every_expression_of_the_dashboard_has_data(monitored: Monitored) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    asked = [one["expr"] for one in dashboard["annotations"]["list"]]
    asked += [one["expr"] for panel in dashboard["panels"] for one in panel.get("targets", ())]
    assert len(asked) > 25
    there = set(re.findall(r"(?m)^(edge_agent_\w+)", fetch(monitored.metrics)))
    for expression in asked:
        text = expression.replace("$instance", ".*")
        assert "$" not in text, expression
        if not monitored.query(text):
            names = set(re.findall(r"edge_agent_\w+", text))
            assert names <= NEEDS_A_SENSOR - there, f"no data for {expression}"


def test_the_rules_of_the_page_load_and_look_at_series_that_there_are(
    monitored: Monitored, tmp_path: Path
) -> None:
    page = (REPOSITORY / "docs" / "monitoring.md").read_text()
    (rules,) = RULES.findall(page)
    (tmp_path / "rules.yml").write_text(rules)
    subprocess.run(
        [program("promtool"), "check", "rules", str(tmp_path / "rules.yml")],
        check=True,
        capture_output=True,
        timeout=60,
    )
    selectors = set(re.findall(r"(?:\bup|edge_agent_\w+)(?:\{[^}]*\})?", rules))
    assert len(selectors) > 4
    for selector in selectors:
        assert monitored.query(selector), selector
