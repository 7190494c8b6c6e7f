from __future__ import annotations

import os
import signal

import pytest
from brokers import wait_until
from workers import LONG_REQUEST, Make, gone, in_background, never, request

from edge_agent.errors import Unavailable


@pytest.mark.parametrize("way", [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL])
def test_fault_30_a_worker_that_dies_costs_one_attempt(make: Make, way: signal.Signals) -> None:
    client = make()
    client.complete(request(), never)
    pid = client.status().pid
    assert pid is not None
    errors = in_background(client, LONG_REQUEST)
    os.kill(pid, way)
    wait_until(lambda: errors)
    assert f"killed by {way.name}" in str(errors[0])
    assert client.complete(request(), never).text
    assert client.status().restarts == 1
    assert client.status().pid != pid


def test_fault_30_a_worker_that_hangs_is_killed_and_replaced(make: Make) -> None:
    client = make(stall_s=1.5)
    client.complete(request(), never)
    pid = client.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(Unavailable, match="no sign of life"):
        client.complete(request(), never)
    assert gone(pid)
    assert client.complete(request(), never).text


def test_fault_30_workers_that_keep_dying_are_left_alone_for_a_while(make: Make) -> None:
    client = make()
    for _ in range(3):
        client.complete(request(), never) if client.status().jobs == 0 else None
        errors = in_background(client, LONG_REQUEST)
        wait_until(lambda: client.status().pid)
        pid = client.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGABRT)
        wait_until(errors.__len__)
    with pytest.raises(Unavailable, match="failed 3 times in a row; next try in"):
        client.complete(request(), never)
    assert client.status().state == "backing-off"
