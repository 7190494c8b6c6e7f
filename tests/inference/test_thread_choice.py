"""Threads give way to one where the cores are busy, and come back."""

from __future__ import annotations

from edge_agent.inference.contention import ThreadChoice


def test_threads_that_get_their_cores_stay() -> None:
    choice = ThreadChoice()
    for step in range(100):
        choice.observe(2, 0.010, 0.019, step * 0.01)
    assert choice.pick(2, 1.0) == 2


def test_threads_that_wait_give_way_and_are_tried_again() -> None:
    choice = ThreadChoice()
    choice.observe(2, 2.6, 0.4, 10.0)
    assert choice.pick(2, 14.9) == 1
    assert choice.pick(2, 15.1) == 2
    choice.observe(2, 2.6, 0.4, 17.0)
    assert choice.pick(2, 26.9) == 1
    choice.observe(2, 0.2, 0.39, 28.0)
    choice.observe(2, 2.6, 0.4, 30.0)
    assert choice.pick(2, 35.1) == 2


def test_one_slow_batch_in_a_good_stretch_is_no_reason() -> None:
    choice = ThreadChoice()
    choice.observe(2, 0.09, 0.18, 0.09)
    choice.observe(2, 0.03, 0.02, 0.12)
    assert choice.pick(2, 0.13) == 2


def test_one_thread_is_never_judged() -> None:
    choice = ThreadChoice()
    choice.observe(1, 5.0, 0.1, 5.0)
    assert choice.pick(4, 5.1) == 4
