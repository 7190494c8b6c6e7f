from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.mqtt.receipts import Receipts


@given(st.permutations(range(1, 12)))
def test_whatever_is_done_first_pubacks_leave_in_the_order_of_arrival(order: list[int]) -> None:
    sent: list[int] = []
    receipts = Receipts(sent.extend)
    for mid in range(1, 12):
        receipts.arrived(mid)
    for count, mid in enumerate(order, 1):
        assert receipts.done([mid])
        assert not receipts.done([mid])
        done = set(order[:count])
        expected = next((n for n in range(1, 13) if n not in done), 12)
        assert sent == list(range(1, expected))
    assert len(receipts) == 0


def test_ids_that_are_not_open_are_ignored() -> None:
    sent: list[int] = []
    receipts = Receipts(sent.extend)
    assert not receipts.done([1])
    receipts.arrived(1)
    receipts.clear()
    assert not receipts.done([1])
    assert sent == []


def test_many_threads_keep_the_order() -> None:
    sent: list[int] = []
    receipts = Receipts(sent.extend)
    for mid in range(1, 2001):
        receipts.arrived(mid)

    def finish(first: int) -> None:
        for mid in range(first, 2001, 4):
            receipts.done([mid])

    threads = [threading.Thread(target=finish, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sent == list(range(1, 2001))
