from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

import pytest
from authority import Authority
from brokers import Mosquitto, Proxy, free_port, wait_until
from station import Station, Stations, numbered

# paho leaves the socket of a failed handshake to the garbage collector, which closes it.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*SSLSocket.*:pytest.PytestUnraisableExceptionWarning"
)
TLS_HANDSHAKE = 0x16
NOW = dt.datetime.now(dt.UTC)


def tls_broker(authority: Authority, certificate: Path, key: Path, *lines: str) -> Mosquitto:
    port = free_port()
    config = [
        f"listener {port} 127.0.0.1",
        f"cafile {authority.ca}",
        f"certfile {certificate}",
        f"keyfile {key}",
        *lines,
    ]
    return Mosquitto(config, port=port)


def connect(stations: Stations, port: int, **tls: object) -> Station:
    return stations(port, mqtt={"host": "localhost", "tls": {"enabled": True, **tls}})


@pytest.mark.parametrize("wrong", ["authority", "expired"])
def test_fault_13_a_certificate_not_to_be_trusted_never_sees_our_messages(
    tmp_path: Path, stations: Stations, wrong: str
) -> None:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    issuer = theirs if wrong == "authority" else ours
    certificate, key = issuer.issue("broker", days=-1 if wrong == "expired" else 30)
    with tls_broker(issuer, certificate, key) as broker, Proxy(broker.port) as proxy:
        sent: list[bytes] = []

        def listen(chunk: bytes) -> bytes:
            sent.append(chunk)
            return chunk

        proxy.client_filter = listen
        station = connect(stations, proxy.port, ca=str(ours.ca))
        station.add(*numbered(0, 3))
        wait_until(lambda: "not to be trusted" in str(station.broker.status().last_error))
        time.sleep(0.2)
        assert not station.broker.connected
        assert station.waiting() == 3
        assert sent[0][0] == TLS_HANDSHAKE
        assert not any(b"MQTT" in chunk or b"edge/gw" in chunk for chunk in sent)


def test_fault_13_mutual_trust_connects(tmp_path: Path, stations: Stations) -> None:
    authority = Authority(tmp_path / "ours")
    certificate, key = authority.issue("broker")
    mine, my_key = authority.issue("gw")
    with tls_broker(authority, certificate, key, "require_certificate true") as broker:
        stranger = connect(stations, broker.port, ca=str(authority.ca))
        wait_until(lambda: stranger.broker.status().last_error is not None)
        assert not stranger.broker.connected
        stranger.close()
        known = connect(
            stations,
            broker.port,
            ca=str(authority.ca),
            certificate=str(mine),
            key=str(my_key),
            minimum_version="1.3",
        )
        known.add(*numbered(0, 3))
        wait_until(lambda: known.waiting() == 0)
