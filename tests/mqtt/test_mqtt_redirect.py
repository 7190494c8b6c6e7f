"""A broker that sends us elsewhere: followed once, and only to hosts that the settings name."""

from __future__ import annotations

import pytest
from brokers import wait_until
from fakebroker import FakeBroker, packet, text
from hypothesis import given
from hypothesis import strategies as st
from station import Stations, numbered

from edge_agent.mqtt.redirect import MOVED, USE_ANOTHER, Endpoint, Redirect, Route, allowed

HOME = Endpoint("home", 1883)


def sending_to(code: int, reference: str) -> bytes:
    """The body of a CONNACK, or without its first byte a DISCONNECT, with a Server Reference."""
    properties = b"\x1c" + text(reference.encode())
    return bytes([0, code, len(properties)]) + properties


@pytest.mark.parametrize("by", ["connack", "disconnect"])
def test_an_allowed_server_is_followed_at_once(stations: Stations, by: str) -> None:
    with FakeBroker() as first, FakeBroker() as second:
        answer = sending_to(USE_ANOTHER, f"elsewhere:1 127.0.0.1:{second.port}")
        if by == "connack":
            first.connack = answer
        options = {"reconnect_max_s": 30, "redirect_hosts": [f"127.0.0.1:{second.port}"]}
        station = stations(first.port, mqtt=options)
        if by == "disconnect":
            wait_until(lambda: station.broker.connected)
            first.send(packet(14, answer[1:]))
        station.add(*numbered(0, 5))
        wait_until(lambda: len(second.payloads(b"edge/gw/incident")) == 5, 5)
        status = station.broker.status()
        assert status.endpoint == f"127.0.0.1:{second.port}"
        assert first.connects == second.connects == 1


def test_any_other_server_is_only_reported(stations: Stations) -> None:
    with FakeBroker() as first, FakeBroker() as second:
        first.connack = sending_to(MOVED, f"127.0.0.1:{second.port}")
        station = stations(first.port, mqtt={"redirect_hosts": ["broker-2"]})
        wait_until(lambda: "redirect_hosts" in str(station.broker.status().last_error))
        wait_until(lambda: first.connects >= 2)
        assert second.connects == 0


def test_two_servers_that_send_us_to_each_other_are_no_hot_loop(stations: Stations) -> None:
    with FakeBroker() as first, FakeBroker() as second:
        first.connack = sending_to(USE_ANOTHER, f"127.0.0.1:{second.port}")
        second.connack = sending_to(USE_ANOTHER, f"127.0.0.1:{first.port}")
        station = stations(
            first.port, mqtt={"reconnect_max_s": 30, "redirect_hosts": ["127.0.0.1"]}
        )
        wait_until(lambda: "sends us on again" in str(station.broker.status().last_error))
        assert station.broker.status().endpoint == f"127.0.0.1:{first.port}"
        wait_until(lambda: second.connects == 2)
        assert station.broker.status().generation <= 5


def test_a_server_that_moved_is_kept_until_it_fails() -> None:
    route = Route(HOME, ["new", "other:9"])
    assert "moved for good" in str(route.ended(Redirect(MOVED, "new"), accepted=False))
    assert route.ended(None, accepted=True) is None
    assert route.current == Endpoint("new", 1883)
    assert route.ended(None, accepted=False) is None
    assert route.current == HOME
    assert "sends us to other:9" in str(
        route.ended(Redirect(USE_ANOTHER, "other:9"), accepted=True)
    )
    assert route.ended(None, accepted=True) is None
    assert route.current == HOME


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("broker-2", Endpoint("broker-2", 1883)),
        ("evil.example BROKER-2:8883", Endpoint("BROKER-2", 8883)),
        ("[fe80::1]:1884", Endpoint("fe80::1", 1884)),
        ("broker-2.evil.example", None),
        ("user@broker-2", None),
        ("broker-2:0 broker-2:99999", None),
        ("", None),
    ],
)
def test_only_named_hosts_are_allowed(reference: str, target: Endpoint | None) -> None:
    assert allowed(reference, ["broker-2", "[fe80::1]"], 1883) == target


@given(st.text())
def test_any_reference_is_read(reference: str) -> None:
    assert allowed(reference, ["a-host-of-ours"], 1883) in (None, Endpoint("a-host-of-ours", 1883))
