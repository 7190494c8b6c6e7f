from __future__ import annotations

import time

from brokers import wait_until
from fakebroker import FakeBroker
from station import Stations, numbered

QUOTA_EXCEEDED, SERVER_BUSY = 0x97, 0x89


def test_fault_07_a_quota_is_no_hot_loop(stations: Stations) -> None:
    with FakeBroker() as broker:
        broker.on_publish = lambda topic, _: 0 if topic.endswith(b"status") else QUOTA_EXCEEDED
        station = stations(broker.port)
        station.add(*numbered(0, 3))
        wait_until(lambda: station.publisher.status.refused == 3)
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            time.sleep(0.05)
        assert len(broker.payloads(b"edge/gw/incident")) == 3
        assert station.waiting() == 3
        broker.on_publish = lambda _topic, _payload: 0
        station.store.outbox.unpark()
        wait_until(lambda: station.waiting() == 0)


def test_fault_07_a_busy_broker_is_left_alone_for_a_while(stations: Stations) -> None:
    with FakeBroker() as broker:
        broker.connack = bytes([0, SERVER_BUSY, 0])
        station = stations(broker.port, mqtt={"reconnect_max_s": 30})
        wait_until(lambda: "busy" in str(station.broker.status().last_error).lower())
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            time.sleep(0.05)
        assert broker.connects == 1
        assert station.broker.healthy()


def test_fault_07_limits_that_the_broker_states_are_kept(stations: Stations) -> None:
    with FakeBroker() as broker:
        # CONNACK properties: receive maximum 2, maximum packet size 2000, no retain.
        properties = b"\x21\x00\x02" + b"\x27\x00\x00\x07\xd0" + b"\x25\x00"
        broker.connack = b"\x00\x00" + bytes([len(properties)]) + properties
        broker.on_publish = lambda topic, _: 0 if topic.endswith(b"status") else None
        station = stations(broker.port, window=16)
        from findings import outgoing

        station.add(outgoing("big", payload=bytes(5000)), *numbered(0, 10))
        wait_until(lambda: len(broker.payloads(b"edge/gw/incident")) == 2)
        wait_until(lambda: station.publisher.status.refused == 1)
        assert "2000 at most" in str(station.publisher.status.alarms)
        time.sleep(0.3)
        assert len(broker.payloads(b"edge/gw/incident")) == 2
