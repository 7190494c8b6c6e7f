"""An adapter comes by a roll-out to the real daemon: tried on its base, used, given back."""

from __future__ import annotations

import hashlib
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from brokers import Mosquitto
from plant import Client, Daemon, write_settings
from rollout.killed import DiesAt

from edge_agent.errors import BadConfig
from edge_agent.inference.adapter import FAULT_READING, adapter_for, adapters, in_use, use_adapter
from edge_agent.inference.manifest import EMBEDDED
from edge_agent.rollout.model_document import DesiredModel, ModelManifest

pytestmark = pytest.mark.model
DESIRED, REPORTED = "edge/gw1/adapter/desired", "edge/gw1/adapter/reported"
SHIPPED = Path(str(files("edge_agent.inference"))) / "adapters" / "fault-reader.gguf"


def manifest(content: bytes, **changes: object) -> dict[str, Any]:
    return {
        "name": "plant-reader",
        "source": "file:reader.gguf",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "base_sha256": EMBEDDED.sha256,
        "task": "fault-reading",
        "licence": "apache-2.0",
        **changes,
    }


def document(revision: int, **more: object) -> dict[str, Any]:
    return {"kind": "adapter", "agent": "gw1", "revision": revision, **more}


def gateway(tmp_path: Path, broker: Mosquitto, content: bytes) -> Path:
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "reader.gguf").write_bytes(content)
    return write_settings(
        tmp_path,
        broker.port,
        rollout={"probation_s": 1, "model_import_dir": str(stick), "disk_reserve_mb": 0},
    )


def test_an_adapter_is_tried_used_and_given_back(broker: Mosquitto, tmp_path: Path) -> None:
    content = SHIPPED.read_bytes()
    config = gateway(tmp_path, broker, content)
    models = tmp_path / "state" / "models"
    with Client(broker.port, "edge/#") as client, Daemon(config) as daemon:
        client.wait_for("edge/gw1/status", lambda one: one.json["state"] == "online")

        def push(revision: int, **more: object) -> dict[str, Any]:
            client.say(DESIRED, document(revision, **more), retain=True)
            return client.wait_for(
                REPORTED,
                lambda one: (
                    one.json["revision"] == revision
                    and one.json["state"] in ("confirmed", "rejected")
                ),
                120,
            ).json

        other_base = push(1, model=manifest(content, base_sha256="0" * 64))
        assert other_base["state"] == "rejected"
        assert "no model of that hash" in other_base["reason"]
        report = push(2, model=manifest(content))
        assert (report["state"], report["in_use"]["name"]) == ("confirmed", "plant-reader")
        assert report["canary"]["right"] == report["canary"]["cases"] == 2
        assert in_use(models) == "plant-reader"
        chosen = adapter_for(FAULT_READING, str(EMBEDDED.sha256), models)
        assert chosen is not None
        assert chosen.path.parent == models
        assert push(3, restore=True)["state"] == "confirmed"
        assert in_use(models) is None
        worker = client.wait_for("edge/gw1/health").json["worker"]
        assert worker["model"] == EMBEDDED.name, "the model was not touched"
        assert daemon.terminate() == 0


def test_an_adapter_that_reads_wrongly_is_refused(broker: Mosquitto, tmp_path: Path) -> None:
    """The shipped one with its numbers overwritten: well-formed, and no reader any more."""
    content = bytearray(SHIPPED.read_bytes())
    content[-2_000_000:] = bytes(2_000_000)
    content[-4_000_000:-2_000_000] = b"\x00\x3c" * 1_000_000
    config = gateway(tmp_path, broker, bytes(content))
    with Client(broker.port, "edge/#") as client, Daemon(config) as daemon:
        client.wait_for("edge/gw1/status", lambda one: one.json["state"] == "online")
        client.say(DESIRED, document(1, model=manifest(bytes(content))), retain=True)
        report = client.wait_for(REPORTED, lambda one: one.json["state"] == "rejected", 120).json
        assert "it reads that" in report["reason"]
        assert in_use(tmp_path / "state" / "models") is None
        assert daemon.terminate() == 0


def test_a_kill_while_it_is_put_into_use_leaves_one_or_the_other(
    broker: Mosquitto, tmp_path: Path
) -> None:
    content = SHIPPED.read_bytes()
    config = gateway(tmp_path, broker, content)
    daemon = DiesAt(config, "adapter", 1, "switching", "after")
    with Client(broker.port, "edge/#") as client, daemon:
        client.wait_for("edge/gw1/status", lambda one: one.json["state"] == "online")
        client.say(DESIRED, document(1, model=manifest(content)), retain=True)
        assert daemon.process is not None
        daemon.process.wait(120)
        daemon.start()
        client.wait_for(REPORTED, lambda one: one.json["state"] == "confirmed", 60)
        assert in_use(tmp_path / "state" / "models") == "plant-reader"
        assert daemon.terminate() == 0


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("model", {}), ("adapter", {"base_sha256": None, "task": ""}), ("adapter", {"task": ""})],
)
def test_kind_and_manifest_go_together(kind: str, changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="together"):
        DesiredModel.model_validate(
            {"kind": kind, "agent": "a", "revision": 1, "model": manifest(b"x", **changes)}
        )


def test_the_entry_of_an_adapter_is_read_by_the_catalogue(tmp_path: Path) -> None:
    shutil.copy(SHIPPED, tmp_path / "plant-reader.gguf")
    pinned = ModelManifest.model_validate(manifest(SHIPPED.read_bytes()))
    (tmp_path / pinned.entry_name).write_text(pinned.as_toml())
    assert adapters(tmp_path)["plant-reader"].manifest.base_sha256 == EMBEDDED.sha256
    use_adapter(tmp_path, "plant-reader")
    assert in_use(tmp_path) == "plant-reader"
    (tmp_path / "bad.adapter.toml").write_text("name =")
    with pytest.raises(BadConfig, match="no adapter manifest"):
        adapters(tmp_path)
