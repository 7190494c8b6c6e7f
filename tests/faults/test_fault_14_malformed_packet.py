from __future__ import annotations

import pytest
from brokers import wait_until
from fakebroker import FakeBroker, packet
from station import Stations, numbered

BROKEN = {
    "topic longer than its packet": packet(3, b"\xff\xffab"),
    "endless length": b"\x30\xff\xff\xff\xff\xff",
    "kind zero": b"\x00\x00",
    "kind fifteen": b"\xf0\x00",
    "empty puback": packet(4, b""),
    "broken properties": packet(3, b"\x00\x01a\x7f\x99\x99"),
    "empty suback": packet(9, b""),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_fault_14_a_malformed_packet_costs_one_connection(
    stations: Stations, broken: bytes
) -> None:
    with FakeBroker() as broker:
        broker.after_suback = broken
        station = stations(broker.port)
        wait_until(lambda: broker.connects >= 2, what="a second connection")
        broker.after_suback = b""
        station.add(*numbered(0, 3))
        wait_until(lambda: station.waiting() == 0, what="the outbox to drain")
        assert station.broker.status().revived == 0
        assert station.broker.healthy()
