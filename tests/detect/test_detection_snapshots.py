"""What was learned survives a restart, and what cannot be read only means learning anew."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import detection, readings, rows


@pytest.mark.parametrize("cut", [100, 300, 420, 470])
def test_a_restart_changes_no_verdict(cut: int) -> None:
    values = rows(560)
    values[400:, 0] -= 6.0
    batches = list(readings(values))
    whole, first, second = detection(), detection(), detection()
    expected = [f for batch in batches for f in whole.observe(batch)]
    found = [f for batch in batches[:cut] for f in first.observe(batch)]
    second.restore(first.snapshots())
    found += [f for batch in batches[cut:] for f in second.observe(batch)]
    assert found == expected
    assert expected


def test_only_what_changed_is_saved_again() -> None:
    watch = detection()
    for batch in readings(rows(5)):
        watch.observe(batch)
    assert set(watch.snapshots()) == {"pump-1"}
    assert watch.snapshots() == {}


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=200))
def test_garbage_means_learning_anew(data: bytes) -> None:
    watch = detection()
    watch.restore({"pump-1": data})
    for batch in readings(rows(3)):
        watch.observe(batch)
    assert watch.status()["pump-1"].state == "learning"


@settings(max_examples=40, deadline=None)
@given(position=st.integers(0, 5000), value=st.integers(0, 255))
def test_a_damaged_snapshot_never_raises(position: int, value: int) -> None:
    damaged = bytearray(SNAPSHOT)
    damaged[position % len(damaged)] = value
    watch = detection()
    watch.restore({"pump-1": bytes(damaged)})


def _snapshot() -> bytes:
    watch = detection()
    for batch in readings(rows(260)):
        watch.observe(batch)
    return watch.snapshots()["pump-1"]


SNAPSHOT = _snapshot()


def test_reset_learns_again() -> None:
    watch = detection()
    watch.restore({"pump-1": SNAPSHOT})
    assert watch.status()["pump-1"].state == "quiet"
    assert watch.reset("pump-1")
    assert watch.status()["pump-1"].state == "learning"
    assert not watch.reset("unknown")
