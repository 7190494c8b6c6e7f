from __future__ import annotations

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.inbox import URGENT_LIMIT, Inbox
from edge_agent.telemetry import Message


def message(number: int, size: int = 1, topic: str = "plant/p/telemetry") -> Message:
    return Message(topic, str(number).encode().ljust(size), float(number))


def test_it_gives_back_what_it_got_in_order() -> None:
    inbox = Inbox(100, 1000)
    for number in range(10):
        inbox.put(message(number))
    assert [m.arrived for m in inbox.take(4, 0)] == [0, 1, 2, 3]
    assert [m.arrived for m in inbox.take(99, 0)] == [4, 5, 6, 7, 8, 9]
    assert inbox.take(1, 0) == []


def test_a_flood_sheds_the_oldest_telemetry_and_never_a_command() -> None:
    shed: list[Message] = []
    inbox = Inbox(100, 10_000, urgent=lambda m: m.topic.startswith("edge/"), on_shed=shed.append)
    inbox.put(message(0, topic="edge/gw/cmd/status"))
    for number in range(1, 301):
        inbox.put(message(number))
    assert [m.arrived for m in shed] == list(range(1, 201))
    assert inbox.counts().shed == 200
    taken = inbox.take(1000, 0)
    assert [m.arrived for m in taken] == [0, *range(201, 301)]


def test_a_flood_of_commands_is_bounded_too() -> None:
    inbox = Inbox(10, 10**9, urgent=lambda m: True)  # noqa: ARG005
    for number in range(URGENT_LIMIT + 50):
        inbox.put(message(number))
    assert inbox.counts().messages == URGENT_LIMIT


@given(st.lists(st.integers(0, 400), max_size=60))
def test_bytes_stay_bounded_and_nothing_is_unaccounted(sizes: list[int]) -> None:
    inbox = Inbox(20, 500)
    for number, size in enumerate(sizes):
        inbox.put(Message("t", bytes(size), float(number)))
        counts = inbox.counts()
        assert counts.bytes <= 500 or counts.messages == 1
        assert counts.messages <= 20
    counts = inbox.counts()
    assert counts.messages + counts.shed == len(sizes)
    assert sum(len(m.payload) for m in inbox.take(99, 0)) == counts.bytes


def test_take_wakes_up_when_something_comes() -> None:
    inbox = Inbox(10, 1000)
    taken: list[Message] = []
    reader = threading.Thread(target=lambda: taken.extend(inbox.take(5, 20)))
    started = time.monotonic()
    reader.start()
    inbox.put(message(1))
    reader.join(10)
    assert len(taken) == 1
    assert time.monotonic() - started < 15
