"""scripts/make_pki with the broker settings and access rules that ship: whoever has no certificate
stays outside, and a certificate's name is what its owner may speak for."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from brokers import Mosquitto, wait_until
from cryptography import x509
from paho.mqtt.client import Client as Paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from plant import REPOSITORY, Daemon, write_settings

from edge_agent.config.broker import TlsSection
from edge_agent.credentials import tls_context

MAKE_PKI = REPOSITORY / "scripts" / "make_pki"
BROKER = REPOSITORY / "configs" / "broker"


def make_pki(folder: Path, *words: str) -> None:
    command = [sys.executable, str(MAKE_PKI), str(folder), *words]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki") / "pki"
    make_pki(folder, "localhost", "127.0.0.1", "--client", "gateway", "--client", "controller")
    return folder


@pytest.fixture
def guarded(pki: Path) -> Iterator[Mosquitto]:
    """A broker with the settings that ship, but for its port and its folders."""
    shipped = (BROKER / "mosquitto.example.conf").read_text().splitlines()
    ours = ("listener", "persistence", "acl_file", "cafile", "certfile", "keyfile")
    ours = ("listener", "persistence_location", "acl_file", "cafile", "certfile", "keyfile")
    kept = [x for x in shipped if x.strip() and x[0] != "#" and x.split()[0] not in ours]
    lines = [f"cafile {pki}/ca.pem", f"certfile {pki}/broker.pem", f"keyfile {pki}/broker.key"]
    lines += [f"acl_file {BROKER}/acl.example"]
    kept = [x for x in kept if not x.startswith("per_listener_settings")]  # before any listener
    with Mosquitto([*lines, *kept]) as broker:
        yield broker


def tls(pki: Path, who: str | None, **more: object) -> dict[str, object]:
    mine = {"certificate": str(pki / f"{who}.pem"), "key": str(pki / f"{who}.key")} if who else {}
    return {"enabled": True, "ca": str(pki / "ca.pem"), **mine, **more}


def test_files_are_as_private_as_they_must_be(pki: Path) -> None:
    assert pki.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in pki.glob("*.key"))
    ca = x509.load_pem_x509_certificate((pki / "ca.pem").read_bytes())
    own = x509.load_pem_x509_certificate((pki / "gateway.pem").read_bytes())
    own.verify_directly_issued_by(ca)


def test_a_second_run_keeps_the_authority(tmp_path: Path) -> None:
    make_pki(tmp_path / "pki", "localhost")
    before = (tmp_path / "pki" / "ca.pem").read_bytes()
    make_pki(tmp_path / "pki", "localhost", "--client", "late")
    assert (tmp_path / "pki" / "ca.pem").read_bytes() == before
    assert (tmp_path / "pki" / "late.key").exists()


def test_an_agent_with_its_certificate_runs(guarded: Mosquitto, pki: Path, tmp_path: Path) -> None:
    mqtt = {"host": "localhost", "tls": tls(pki, "gateway", minimum_version="1.3")}
    config = write_settings(
        tmp_path, guarded.port, mqtt=mqtt, agent={"id": "gateway"}, inference={"model": "/none"}
    )
    heard: list[str] = []
    listener = Paho(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    listener.tls_set(f"{pki}/ca.pem", f"{pki}/controller.pem", f"{pki}/controller.key")
    listener.on_message = lambda _c, _d, message: heard.append(message.topic)
    listener.on_connect = lambda client, *_: client.subscribe("edge/#", qos=1)
    listener.connect("localhost", guarded.port)
    listener.loop_start()
    try:
        with Daemon(config) as daemon:
            wait_until(lambda: "edge/gateway/health" in heard, 60, "health over mutual TLS")
            assert daemon.terminate() == 0
        assert "edge/gateway/status" in heard
    finally:
        listener.disconnect()
        listener.loop_stop()


def test_nobody_without_a_certificate_comes_in(guarded: Mosquitto, pki: Path) -> None:
    context = ssl.create_default_context(cafile=str(pki / "ca.pem"))
    client = Paho(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.tls_set_context(context)
    refused: list[object] = []
    client.on_disconnect = lambda *_: refused.append("disconnected")
    client.on_connect = lambda *_: refused.clear()
    try:
        client.connect("localhost", guarded.port)
        client.loop_start()
        wait_until(lambda: refused, 10, "the end of a connection without a certificate")
    except ssl.SSLError:
        refused.append("refused")
    finally:
        client.loop_stop()
    assert refused
    assert not client.is_connected()


@pytest.mark.parametrize(("least", "agreed"), [("1.2", "TLSv1.2"), ("1.3", None)])
def test_the_minimum_version_holds(pki: Path, least: str, agreed: str | None) -> None:
    """Against a server that speaks TLS 1.2 at most."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pki / "broker.pem", pki / "broker.key")
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    ours = tls_context(TlsSection.model_validate(tls(pki, None, minimum_version=least)))
    here, there = socket.socketpair()

    def serve() -> None:
        with suppress(OSError):
            server.wrap_socket(there, server_side=True).close()

    thread = threading.Thread(target=serve)
    thread.start()
    with here, there:
        if agreed is None:
            with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
                ours.wrap_socket(here, server_hostname="localhost")
        else:
            with ours.wrap_socket(here, server_hostname="localhost") as secured:
                assert secured.version() == agreed
        thread.join(10)
