"""Prometheus: what a scrape of the real daemon holds, the textfile, the dashboard's names."""

from __future__ import annotations

import http.client
import json
import re
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from subprocess import run
from typing import Any, get_args, get_type_hints

import pytest
from brokers import Mosquitto, free_port, wait_until
from plant import REPOSITORY, Client, Daemon, write_settings
from prometheus_client.parser import text_string_to_metric_families

from edge_agent.config.observe import MetricsSection
from edge_agent.domain.diagnosis import Diagnosis
from edge_agent.errors import Unavailable
from edge_agent.observe.exporter import TEXTFILE_S, Exporter
from edge_agent.observe.metrics import families, names
from edge_agent.simulate.pump import PumpLoop

DASHBOARD = REPOSITORY / "configs" / "grafana" / "edge-agent.json"
GRAMMAR = re.compile(r"edge_agent_[a-z_]+")


def test_a_scrape_of_the_daemon_and_its_textfile(broker: Mosquitto, tmp_path: Path) -> None:
    port = free_port()
    path, textfile = tmp_path / "metrics.sock", tmp_path / "edge-agent.prom"
    metrics = {"port": port, "socket": str(path), "textfile": str(textfile)}
    config = write_settings(tmp_path, broker.port, observe={"metrics": metrics})
    with Daemon(config) as daemon, Client(broker.port, "edge/#") as client:
        client.wait_for("edge/gw1/health")
        loop = PumpLoop(7, [])
        client.stream("simulated-pump", [loop.step(1.0) for _ in range(50)])

        def scraped() -> dict[Any, float]:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                return values(answer.read().decode())

        wait_until(lambda: scraped().get("edge_agent_telemetry_messages_total") == 50)
        found = scraped()
        over_socket = values(ask_socket(path))
        wait_until(textfile.exists, 30, "the textfile")
        assert textfile.stat().st_mode & 0o777 == 0o644
        from_file = values(textfile.read_text())
        assert daemon.terminate() == 0
    assert found["edge_agent_mqtt_connected"] == 1
    assert found["edge_agent_telemetry_readings_total"] > 100
    assert found["edge_agent_machines", "learning"] == 1
    assert 0 < found["edge_agent_equipment_learned_ratio", "simulated-pump"] < 1
    assert found["edge_agent_memory_bytes", "daemon"] > 1e7
    assert found.keys() == over_socket.keys()
    assert from_file.keys() <= found.keys()
    assert {key if isinstance(key, str) else key[0] for key in found} <= names()
    assert not textfile.exists()
    assert not path.exists()


def values(text: str) -> dict[Any, float]:
    """Series by name, or by name and its label values."""
    return {
        (sample.name, *sample.labels.values()) if sample.labels else sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ask_socket(path: Path) -> str:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return text


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[tuple[Exporter, int]]:
    port = free_port()
    exporter = Exporter(MetricsSection(port=port), lambda: {"agent": {"uptime_s": 5.0}})
    exporter.start()
    yield exporter, port
    exporter.close()


def test_only_metrics_on_the_loopback_interface(serving: tuple[Exporter, int]) -> None:
    _, port = serving
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/")
    assert connection.getresponse().status == 404
    connection.close()
    listening = Path("/proc/net/tcp").read_text()
    assert f"0100007F:{port:04X} 00000000:0000 0A" in listening
    assert f"00000000:{port:04X} 00000000:0000 0A" not in listening


def test_a_silent_caller_does_not_end_the_service(serving: tuple[Exporter, int]) -> None:
    _, port = serving
    with (
        socket.create_connection(("127.0.0.1", port)),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer,
    ):
        assert values(answer.read().decode())["edge_agent_uptime_seconds"] == 5.0


def test_a_store_that_cannot_be_read_is_503_and_then_well_again() -> None:
    broken = [True]

    def report() -> dict[str, Any]:
        if broken:
            raise Unavailable("disk full")
        return {}

    port = free_port()
    exporter = Exporter(MetricsSection(port=port), report)
    exporter.start()
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics")
    broken.clear()
    urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").close()
    exporter.close()


def test_a_port_that_is_taken_is_no_reason_to_stop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        exporter = Exporter(MetricsSection(port=taken.getsockname()[1]), dict)
        exporter.start()
        exporter.close()


def test_the_textfile_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "edge-agent.prom"
    exporter = Exporter(MetricsSection(textfile=path), lambda: {"agent": {"uptime_s": 1.0}})
    exporter.tick(0.0)
    first = path.stat().st_ino
    exporter.tick(TEXTFILE_S / 2)
    assert path.stat().st_ino == first
    with path.open() as reader:  # as node-exporter has it open while it is replaced
        exporter.tick(TEXTFILE_S)
        assert path.stat().st_ino != first
        assert values(reader.read())["edge_agent_uptime_seconds"] == 1.0
    assert [one.name for one in tmp_path.iterdir()] == ["edge-agent.prom"]


def test_machines_are_capped_and_those_with_incidents_stay() -> None:
    quiet = {"state": "quiet", "learned": 1.0, "rows": 9, "score": 0.1}
    machines = {f"m{n:03}": quiet for n in range(300)} | {"z": {**quiet, "state": "open"}}
    machines |= {"zlong" * 100 + end: quiet for end in "ab"}
    found = {family.name: family for family in families({"equipment": machines}, 10)}
    score = found["edge_agent_equipment_score"].samples
    assert len(score) == 10
    assert {"equipment": "z"} in [sample.labels for sample in score]
    assert found["edge_agent_machines_without_series"].samples[0].value == 293
    every = {family.name: family for family in families({"equipment": machines}, 1000)}
    labels = [one.labels["equipment"] for one in every["edge_agent_equipment_score"].samples]
    assert len(labels) == len(set(labels))


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = [
        target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())
    ]
    expressions += [one["expr"] for one in dashboard["annotations"]["list"]]
    expressions += [one["query"] for one in dashboard["templating"]["list"][1:]]
    asked = {name for text in expressions for name in GRAMMAR.findall(text)}
    assert len(expressions) > 25
    assert asked <= names()
    for text in expressions:
        assert text.count("(") == text.count(")")
        for counter in re.findall(r"edge_agent_[a-z_]+_total", text):
            assert re.search(rf"(rate|increase)\({counter}\{{[^}}]*\}}\[", text), text


def test_labels_that_the_dashboard_selects_are_on_the_metrics() -> None:
    full = {"store": {"jobs": {"queued": 1}}, "results": {"incidents": {"opened": 1}}}
    labels = {
        (sample.name, key, value)
        for family in families(full, 1)
        for sample in family.samples
        for key, value in sample.labels.items()
    }
    assert ("edge_agent_machines", "state", "open") in labels
    assert ("edge_agent_incidents_total", "phase", "opened") in labels
    assert ("edge_agent_jobs", "state", "queued") in labels


def test_every_diagnosis_counter_is_there_before_the_first_diagnosis() -> None:
    shape = get_type_hints(Diagnosis)
    pairs = set(product(get_args(shape["source"]), get_args(shape["verdict"])))
    (family,) = (one for one in families({}, 1) if one.name == "edge_agent_diagnoses")
    found = {(one.labels["source"], one.labels["verdict"]): one.value for one in family.samples}
    assert found == dict.fromkeys(pairs, 0.0)


def test_the_daemon_without_metrics_does_not_load_the_library() -> None:
    program = "import sys, edge_agent.agent; sys.exit('prometheus_client' in sys.modules)"
    assert run([sys.executable, "-c", program], cwd=REPOSITORY, check=False).returncode == 0
