"""``top`` and ``calibrate``."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from brokers import Mosquitto
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from edge_agent.cli import app
from edge_agent.cli.top import Feed
from edge_agent.cli.top_view import screen, tokens_per_second
from edge_agent.config import load_settings
from edge_agent.config.broker import MqttSection
from edge_agent.config.govern import GovernSection
from edge_agent.domain.level import Level
from edge_agent.errors import Unavailable
from edge_agent.govern.calibration import Fit, Point, fit, measure
from edge_agent.govern.gauge import Gauge
from edge_agent.govern.governor import Governor
from edge_agent.govern.vitals import Vitals
from edge_agent.statussocket import StatusSocket, runtime_dir
from edge_agent.streaming import Client

DIAGNOSIS: dict[str, Any] = {
    "created_at": "2026-11-23T06:00:00Z",
    "equipment": "pump-1",
    "fault": {"id": "leak", "title": "Leak", "probability": 0.81},
    "source": "model",
    "cost": {"tokens_out": 100, "seconds": 4.0, "joules": 12.5},
    "governor_level": "eco",
}


def drawn(report: dict[str, Any], diagnoses: list[dict[str, Any]], age_s: float = 0.0) -> str:
    console = Console(file=StringIO(), width=110)
    console.print(screen(report, diagnoses, age_s))
    file = console.file
    assert isinstance(file, StringIO)
    return file.getvalue()


@pytest.fixture
def report() -> dict[str, Any]:
    governor = Governor(
        GovernSection(power_watts=6.0), clock=lambda: 1e9, monotonic=lambda: 5.0, state=None
    )
    return {
        "agent": {"id": "gw-7", "version": "1", "uptime_s": 3700.0},
        "governor": asdict(governor.status()),
        "store": {"jobs": {"queued": 3}, "outbox": {"waiting": 2}},
        "worker": {"state": "ready", "model": "m", "rss_mb": 240.0, "reason": ""},
        "equipment": {"pump-1": {"state": "normal"}, "pump-2": {"state": "normal"}},
    }


def test_the_screen_shows_budgets_queue_and_diagnoses(report: dict[str, Any]) -> None:
    text = drawn(report, [DIAGNOSIS])
    for word in ("gw-7", "full", "6.0 W", "estimated", "3 queued", "25.0 tokens/s", "Leak", "~12"):
        assert word in text
    assert "no report" in drawn(report, [], age_s=1000)


def test_a_report_without_anything_is_drawn_too() -> None:
    assert "not known" in drawn({}, [{}], age_s=float("inf"))
    assert tokens_per_second([{}]) is None


@given(
    st.sampled_from(["edge/gw/health", "edge/gw/diagnosis/p", "edge/gw/cmd/status/response", ""]),
    st.one_of(st.binary(max_size=100), st.builds(lambda n: b"[" * n, st.integers(0, 5000))),
)
def test_no_message_upsets_the_feed(topic: str, payload: bytes) -> None:
    feed = Feed()
    feed.deliver(topic, payload)
    feed.deliver("edge/gw/health", b'{"governor": {"level": "eco"}}')
    assert feed.newest()[0]["governor"]["level"] == "eco"


def test_the_answer_to_a_status_command_is_a_report() -> None:
    feed = Feed()
    answer = {"ok": True, "result": {"health": {"governor": {"level": "short"}}}}
    feed.deliver("edge/gw/cmd/status/response", json.dumps(answer).encode())
    assert feed.arrived.is_set()
    assert feed.newest()[0]["governor"]["level"] == Level.SHORT


@pytest.fixture
def settings_file(tmp_path: Path, report: dict[str, Any]) -> Path:
    state = tmp_path / "state"
    state.mkdir()
    (state / "status.json").write_text(json.dumps(report), encoding="utf-8")
    path = tmp_path / "edge-agent.toml"
    path.write_text('[store]\nstate_dir = "state"\n', encoding="utf-8")
    return path


def test_top_reads_what_the_agent_leaves(settings_file: Path) -> None:
    result = CliRunner().invoke(app, ["top", "-c", str(settings_file), "--json"])
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["health"]["agent"]["id"] == "gw-7"
    once = CliRunner().invoke(app, ["top", "-c", str(settings_file), "--once"])
    assert "gw-7" in once.stdout


def test_top_asks_over_mqtt(broker: Mosquitto, report: dict[str, Any]) -> None:
    """An agent's part is played: it answers each status command."""
    answer = json.dumps({"ok": True, "result": {"health": report}}).encode()
    asked: queue.Queue[bytes] = queue.Queue()
    stop = threading.Event()

    def play(client: Client) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Empty):
                asked.get(timeout=0.1)
                client.publish("edge/gw-7/diagnosis/pump-1", json.dumps(DIAGNOSIS).encode())
                client.publish("edge/gw-7/cmd/status/response", answer)

    endpoint = MqttSection(host=broker.host, port=broker.port)
    with Client(endpoint, deliver=lambda _, payload: asked.put(payload)) as client:
        client.subscribe(["edge/gw-7/cmd/status"])
        thread = threading.Thread(target=play, args=[client])
        thread.start()
        words = ["top", "--host", broker.host, "--port", str(broker.port), "--agent", "gw-7"]
        result = CliRunner().invoke(app, [*words, "--json"])
        stop.set()
        thread.join()
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["health"]["agent"]["id"] == "gw-7"
    assert document["diagnoses"][0]["equipment"] == "pump-1"


def test_top_without_an_agent_says_so(settings_file: Path) -> None:
    (settings_file.parent / "state/status.json").unlink()
    result = CliRunner().invoke(app, ["top", "-c", str(settings_file), "--once"])
    assert isinstance(result.exception, Unavailable)
    assert "is the agent running" in str(result.exception)


@given(st.floats(0.1, 20), st.floats(0.5, 20), st.lists(st.floats(0, 8), min_size=2, max_size=6))
def test_the_fit_finds_the_line(idle: float, per_core: float, loads: list[float]) -> None:
    points = [Point(busy, idle + per_core * busy) for busy in loads]
    mean = sum(loads) / len(loads)
    if sum((busy - mean) ** 2 for busy in loads) < 0.06:
        loads = [0.0, 1.0]
        points = [Point(busy, idle + per_core * busy) for busy in loads]
    found = fit(points)
    assert found.idle_watts == pytest.approx(idle, abs=1e-6)
    assert found.watts_per_core == pytest.approx(per_core, abs=1e-6)
    assert found.worst_watts == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("points", "word"),
    [
        ([Point(1.0, 5.0), Point(1.05, 5.1)], "hardly differed"),
        ([Point(0.0, 5.0), Point(2.0, 4.0)], "did not rise"),
        ([], "hardly differed"),
    ],
)
def test_a_fit_that_would_mean_nothing_is_refused(points: list[Point], word: str) -> None:
    with pytest.raises(Unavailable, match=word):
        fit(points)


def test_each_load_is_put_on_the_machine_and_taken_off_again() -> None:
    governor = Governor(GovernSection(), clock=lambda: 1e9, monotonic=lambda: 5.0, state=None)
    vitals, seen, said = governor._vitals, [0.0], list[str]()

    def sample() -> Vitals:
        seen.append(seen[-1] + 0.25)
        return replace(vitals, busy_cores=Gauge(seen[-1]))

    def watts(vitals: Vitals) -> float | None:
        return 2.5 + 3.5 * (vitals.busy_cores.value or 0.0)

    points = measure([0, 1], 1.0, sample=sample, watts=watts, progress=said.append)
    assert len(points) == len(said) == 2
    found = fit(points)
    assert found.watts_per_core == pytest.approx(3.5)
    assert found.idle_watts == pytest.approx(2.5)
    with pytest.raises(Unavailable, match="by-hand"):
        measure([0], 0.5, sample=sample, watts=lambda _: None, progress=said.append)


def test_calibrate_without_a_sensor_says_what_to_do(root: Path, tmp_path: Path) -> None:
    config = tmp_path / "edge-agent.toml"
    config.write_text(f'[govern]\nsensor_root = "{root}"\n', encoding="utf-8")
    result = CliRunner().invoke(app, ["calibrate", "-c", str(config), "--seconds", "2"])
    assert isinstance(result.exception, Unavailable)


def test_a_fit_is_what_the_estimate_uses() -> None:
    found = Fit(2.5, 3.5, 0.1)
    section = GovernSection(idle_watts=found.idle_watts, watts_per_core=found.watts_per_core)
    assert (section.idle_watts, section.watts_per_core) == (2.5, 3.5)


def test_top_asks_the_running_daemon_over_its_socket(settings_file: Path) -> None:
    results = {"last": [DIAGNOSIS]}
    live = {"agent": {"id": "gw-live"}, "governor": {"level": "eco"}, "results": results}
    settings = load_settings(settings_file)
    line = StatusSocket(runtime_dir(settings, {}), lambda: live)
    line.start()
    try:
        result = CliRunner().invoke(app, ["top", "-c", str(settings_file), "--json"])
    finally:
        line.close()
    document = json.loads(result.stdout)
    assert document["health"]["agent"]["id"] == "gw-live"
    assert document["diagnoses"][0]["equipment"] == "pump-1"
    assert document["age_s"] < 5
