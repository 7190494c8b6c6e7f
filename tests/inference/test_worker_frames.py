"""Frames between daemon and worker, and the breaker: pure, on real sockets."""

from __future__ import annotations

import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.inference import frame
from edge_agent.inference.breaker import Breaker


@pytest.mark.parametrize("message", [{}, {"a": "é" * 100_000}, {"n": [1, 2.5, None]}])
def test_message_goes_through(message: dict[str, object]) -> None:
    left, right = socket.socketpair()
    with left, right:
        writer = threading.Thread(target=frame.send, args=(left, message))
        writer.start()
        assert frame.receive(right) == message
        writer.join()


@given(st.binary(max_size=64))
def test_any_bytes_are_a_message_or_broken(data: bytes) -> None:
    left, right = socket.socketpair()
    with right:
        with left:
            left.sendall(data)
        try:
            message = frame.receive(right)
        except frame.BrokenFrame:
            return
        assert message is None or isinstance(message, dict)


def test_announced_giant_is_refused() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(frame.BrokenFrame, match="announced"):
            frame.receive(right)


def test_nesting_bomb_is_refused() -> None:
    left, right = socket.socketpair()
    bomb = b"[" * 100_000
    with left, right:
        left.sendall(frame.HEADER.pack(len(bomb)) + bomb)
        with pytest.raises(frame.BrokenFrame):
            frame.receive(right)


def test_breaker_opens_after_losses_in_a_row_and_waits_longer_each_time() -> None:
    breaker = Breaker(limit=3, first_pause_s=30, longest_pause_s=100)
    for now in (0.0, 1.0):
        breaker.lost(now)
        assert breaker.remaining(now) == 0
    breaker.lost(2.0)
    assert breaker.remaining(2.0) == 30
    assert breaker.remaining(32.0) == 0
    breaker.lost(32.0)
    assert breaker.remaining(32.0) == 60
    breaker.lost(92.0)
    assert breaker.remaining(92.0) == 100
    breaker.worked()
    assert breaker.remaining(92.0) == 0
