from __future__ import annotations

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.domain.telemetry import Message
from edge_agent.inbox import NAMED, Inbox


def message(number: int, size: int = 1, topic: str = "plant/p/telemetry") -> Message:
    return Message(topic, str(number).encode().ljust(size), float(number))


def test_it_gives_back_what_it_got_in_order() -> None:
    inbox = Inbox(100, 1000)
    for number in range(10):
        inbox.put(message(number))
    assert [m.arrived for m in inbox.take(4, 0)] == [0, 1, 2, 3]
    assert [m.arrived for m in inbox.take(99, 0)] == [4, 5, 6, 7, 8, 9]
    assert inbox.take(1, 0) == []


def by_machine(topic: str) -> str:
    return topic.split("/")[1]


def test_a_flood_sheds_its_own_oldest_messages_and_nobody_elses() -> None:
    shed: list[Message] = []
    inbox = Inbox(100, 10_000, lane_of=by_machine, on_shed=shed.append)
    for number in range(20):
        inbox.put(message(number, topic="plant/quiet/telemetry"))
    for number in range(300):
        inbox.put(message(number, topic="plant/loud/telemetry"))
    assert {m.topic for m in shed} == {"plant/loud/telemetry"}
    assert [m.arrived for m in shed] == list(range(220))
    assert inbox.counts().shed == 220
    assert inbox.counts().shed_by == {"loud": 220}
    for number in range(300, 350):
        inbox.put(message(number, topic="plant/quiet/telemetry"))
    assert inbox.counts().shed_by == {"loud": 250, "quiet": 20}


def test_a_flood_of_bytes_sheds_its_own_messages() -> None:
    inbox = Inbox(1_000, 10_000, lane_of=by_machine)
    for number in range(20):
        inbox.put(message(number, topic="plant/quiet/telemetry"))
    for number in range(50):
        inbox.put(message(number, 1_000, topic="plant/loud/telemetry"))
    assert set(inbox.counts().shed_by) == {"loud"}
    assert inbox.counts().bytes <= 10_000


def test_nobody_waits_behind_the_flood_of_another() -> None:
    inbox = Inbox(10_000, 10**6, lane_of=by_machine)
    for number in range(5_000):
        inbox.put(message(number, topic="plant/loud/telemetry"))
    for number in range(40):
        inbox.put(message(number, topic=f"plant/m{number % 4}/telemetry"))
    first = inbox.take(100, 0)
    others = [m for m in first if m.topic != "plant/loud/telemetry"]
    assert len(others) == 40
    assert len(first) == 100
    loud = [
        m.arrived for m in [*first, *inbox.take(10_000, 0)] if m.topic == "plant/loud/telemetry"
    ]
    assert loud == sorted(loud)


def test_losses_of_invented_machines_are_counted_together() -> None:
    inbox = Inbox(100, 10**6, lane_of=by_machine)
    for number in range(NAMED + 500):
        inbox.put(message(number, topic=f"plant/m{number}/telemetry"))
    assert inbox.counts().shed == NAMED + 400
    assert len(inbox._shed) <= NAMED + 1


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60)), max_size=80), st.integers(1, 9))
def test_each_machine_keeps_its_order_whatever_is_taken_and_shed(
    sent: list[tuple[int, int]], limit: int
) -> None:
    shed: list[Message] = []
    inbox = Inbox(20, 500, lane_of=by_machine, on_shed=shed.append)
    taken: list[Message] = []
    for number, (machine, size) in enumerate(sent):
        inbox.put(message(number, size, topic=f"plant/{machine}/t"))
        if number % 7 == 6:
            taken += inbox.take(limit, 0)
    while rest := inbox.take(limit, 0):
        taken += rest
    assert len(taken) + len(shed) == len(sent)
    for machine in range(5):
        own = [m.arrived for m in taken if m.topic == f"plant/{machine}/t"]
        assert own == sorted(own)
    assert inbox.counts().bytes == inbox.counts().messages == 0


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
