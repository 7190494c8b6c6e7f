from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
from brokers import Mosquitto, wait_until
from station import Stations, numbered


def test_fault_12_a_name_lookup_that_hangs_is_nobody_elses_problem(
    broker: Mosquitto, stations: Stations, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered = threading.Event(), threading.Event()
    real = socket.getaddrinfo

    def hang(host: Any, *rest: Any, **options: Any) -> Any:  # noqa: ANN401
        if host != "broker.invalid":
            return real(host, *rest, **options)
        asked.set()
        answered.wait(60)
        return real("127.0.0.1", *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    station = stations(broker.port, mqtt={"host": "broker.invalid"})
    assert asked.wait(10)
    began = time.monotonic()
    station.add(*numbered(0, 10))
    assert station.waiting() == 10
    assert station.broker.healthy()
    assert not station.broker.connected
    assert time.monotonic() - began < 5
    answered.set()
    wait_until(lambda: station.waiting() == 0, what="the backlog to go once the name is known")
