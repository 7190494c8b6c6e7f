"""Secrets are planted wherever the agent reads one; then everything that comes out is searched."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from brokers import Mosquitto, wait_until
from paho.mqtt.client import Client as Paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from plant import REPOSITORY, Daemon, write_settings

PASSWORD = "canary-Pa55-of-the-broker"  # noqa: S105 -- a canary is to be found nowhere
SPARE = "canary-credential-9182"
MAKE_PKI = REPOSITORY / "scripts" / "make_pki"


def command_lines() -> bytes:
    """What `ps` and /proc show to everybody: arguments, and the environment of what is ours."""
    shown = b""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
            if b"edge_agent" in words:
                shown += words + (process / "environ").read_bytes()
        except OSError:
            continue  # it ended meanwhile, or is another user's
    return shown


class Plant:
    """A broker with TLS and passwords, and settings whose every secret is a canary."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        pki = folder / "pki"
        names = ["localhost", "--client", "gw1"]
        subprocess.run([sys.executable, MAKE_PKI, pki, *names], check=True, capture_output=True)
        self.key = (pki / "gw1.key").read_text()
        passwords = folder / "passwords"
        passwords.write_text(f"gw1:{PASSWORD}\n")
        passwords.chmod(0o600)
        subprocess.run(["mosquitto_passwd", "-U", passwords], check=True, capture_output=True)
        lines = [
            f"cafile {pki}/ca.pem",
            f"certfile {pki}/broker.pem",
            f"keyfile {pki}/broker.key",
            "require_certificate true",
            f"password_file {passwords}",
            "allow_anonymous false",
        ]
        self.broker = stack.enter_context(Mosquitto(lines))
        secrets = folder / "secrets"
        secrets.mkdir(mode=0o700)
        for name, text in (("mqtt-password", PASSWORD), ("spare", SPARE)):
            (secrets / name).write_text(f"{text}\n")
            (secrets / name).chmod(0o600)
        tls = {
            "enabled": True,
            "ca": str(pki / "ca.pem"),
            "certificate": str(pki / "gw1.pem"),
            "key": str(pki / "gw1.key"),
            "minimum_version": "1.3",
        }
        mqtt = {
            "host": "localhost",
            "username": "gw1",
            "password_file": str(secrets / "mqtt-password"),
            "tls": tls,
        }
        self.config = write_settings(folder, self.broker.port, mqtt=mqtt)
        self.heard: list[tuple[str, bytes]] = []
        self._listen(pki, stack)

    def _listen(self, pki: Path, stack: ExitStack) -> None:
        client = Paho(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.tls_set(f"{pki}/ca.pem", f"{pki}/gw1.pem", f"{pki}/gw1.key")
        client.username_pw_set("gw1", PASSWORD)
        client.on_message = lambda _c, _d, one: self.heard.append((one.topic, bytes(one.payload)))
        client.on_connect = lambda c, *_: c.subscribe("#", qos=1)
        client.connect("localhost", self.broker.port)
        client.loop_start()
        stack.callback(client.loop_stop)
        stack.callback(client.disconnect)

    def topics(self) -> set[str]:
        return {topic for topic, _ in self.heard}

    @property
    def canaries(self) -> list[str]:
        """Every text that must be found nowhere: the key by each line of its body."""
        body = [line for line in self.key.splitlines() if not line.startswith("-----")]
        return [PASSWORD, SPARE, *body]


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    with ExitStack() as stack:
        yield Plant(tmp_path_factory.mktemp("canaries"), stack)


def bundle(config: Path, target: Path) -> tuple[str, dict[str, str]]:
    """What the command says, and the members of its archive."""
    command = [sys.executable, "-m", "edge_agent", "support-bundle", "-c", str(config)]
    done = subprocess.run(
        [*command, "-o", str(target)], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    with tarfile.open(target) as archive:
        members = {
            Path(entry.name).name: file.read().decode()
            for entry in archive.getmembers()
            if (file := archive.extractfile(entry)) is not None
        }
    return done.stdout + done.stderr, members


def test_no_secret_comes_out(plant: Plant, tmp_path: Path) -> None:
    target = tmp_path / "bundle.tar.gz"
    with Daemon(plant.config) as daemon:
        wait_until(lambda: "edge/gw1/health" in plant.topics(), 60, "health")
        said, members = bundle(plant.config, target)
        wait_until(lambda: "edge/gw1/config/reported" in plant.topics(), 60, "reported settings")
        arguments = command_lines().decode(errors="replace")
        assert daemon.terminate() == 0
        log = daemon.log
    assert "edge_agent" in arguments
    settings = json.loads(members["settings.json"])
    assert settings["mqtt"]["username"] == "(set)"
    assert {"about.json", "check.json", "status.json", "store.json", "journal.txt"} <= set(members)
    assert any(line["check"] == "rights" for line in json.loads(members["check.json"]))
    state = plant.config.parent / "state"
    stored = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    outlets = {
        "log": log,
        "command line": arguments,
        "output": said,
        "messages": "\n".join(f"{topic} {payload!r}" for topic, payload in plant.heard),
        "state": stored.decode(errors="replace"),
        **members,
    }
    found = [(name, one) for name, text in outlets.items() for one in plant.canaries if one in text]
    assert found == []
    assert target.stat().st_mode & 0o077 == 0


def test_a_secret_that_got_into_a_file_is_taken_out(plant: Plant, tmp_path: Path) -> None:
    """Whatever wrote it there: the archive's own search is the last line."""
    status = plant.config.parent / "state" / "status.json"
    status.parent.mkdir(exist_ok=True)
    status.write_text(json.dumps({"oops": PASSWORD, "more": plant.key, "spare": SPARE}))
    _, members = bundle(plant.config, tmp_path / "bundle.tar.gz")
    assert [one for one in plant.canaries if one in members["status.json"]] == []
    assert "(hidden)" in members["status.json"]


def test_a_bundle_is_made_without_state_and_broker(tmp_path: Path) -> None:
    config = write_settings(tmp_path, 1)
    _, members = bundle(config, tmp_path / "bundle.tar.gz")
    assert "not available" in members["status.json"]
    assert "not available" in members["store.json"]
    assert json.loads(members["about.json"])["version"]
