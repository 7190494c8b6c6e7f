"""The bucket's promise, and the cost book."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.govern.budget import CAPACITY_SHARE, DEBT_SHARE, Bucket
from edge_agent.govern.cost import CALLS, KEPT, KINDS, CostBook, Sample, quantile

BUDGET, WINDOW = 10.0, 100.0


@given(st.lists(st.floats(0, 40), min_size=120, max_size=300))
def test_who_spends_only_from_the_store_keeps_every_window(wishes: list[float]) -> None:
    """Whatever is wished for each second, granting it only while the store is not in debt keeps
    the average over every window within 3 % (plus the one second that overdraws)."""
    bucket, spent = Bucket(BUDGET, WINDOW), []
    for wish in wishes:
        watts = wish if bucket.joules >= 0 else 0.0
        bucket = bucket.after(1.0, watts)
        spent.append(watts)
    size = int(WINDOW)
    worst = max(sum(spent[i : i + size]) / WINDOW for i in range(len(spent) - size + 1))
    assert worst <= BUDGET * (1 + CAPACITY_SHARE) + 40 / WINDOW


def test_capacity_and_debt_stay_below_three_percent() -> None:
    assert CAPACITY_SHARE + DEBT_SHARE < 0.03
    bucket = Bucket(BUDGET, WINDOW).after(1e6, 0.0)
    assert bucket.fill == 1.0
    assert not bucket.exhausted
    assert bucket.after(1.0, BUDGET + bucket.capacity + 9).exhausted


def test_debt_is_bounded_by_one_window() -> None:
    bucket = Bucket(BUDGET, WINDOW).after(1e6, 500.0)
    assert bucket.joules == -BUDGET * WINDOW


def test_a_restart_repays_debt_by_the_time_away_and_earns_nothing() -> None:
    bucket = Bucket(BUDGET, WINDOW)
    assert bucket.restored(-50.0, away_s=4.0, idle_watts=5.0).joules == -30.0
    assert bucket.restored(-50.0, away_s=1e9, idle_watts=5.0).joules == 0.0
    assert bucket.restored(-50.0, away_s=-1e9, idle_watts=5.0).joules == -50.0
    assert bucket.restored(5.0, away_s=1e9, idle_watts=5.0).joules == 5.0
    assert bucket.restored(1e9, away_s=0.0, idle_watts=5.0).joules == bucket.capacity


def test_a_new_budget_brings_no_gift() -> None:
    bucket = Bucket(BUDGET, WINDOW, joules=15.0)
    assert bucket.with_budget(100.0, WINDOW).joules == 15.0
    assert bucket.with_budget(1.0, WINDOW).joules == pytest.approx(CAPACITY_SHARE * WINDOW)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_quantile_lies_within_the_values(values: list[float], share: float) -> None:
    assert min(values) <= quantile(values, share) <= max(values) * (1 + 1e-9)


def test_forecast_is_the_95th_percentile_of_the_same_kind() -> None:
    book = CostBook()
    assert book.forecast("m", 600, 2, 0.0) is None
    for number in range(20):
        book.learn("m", 600, 2, Sample(0.0, 10.0 + number, 5.0, 8.0))
    forecast = book.forecast("m", 700, 2, 10.0)
    assert forecast is not None
    assert forecast.draw(0.0) == pytest.approx(10 + 0.95 * 19)
    assert forecast.draw(2.0) == pytest.approx(10 + 0.95 * 19 - 2 * 5.0)
    longer = book.forecast("m", 3000, 2, 10.0)
    assert longer is not None
    assert longer.draw(2.0) == pytest.approx(4 * forecast.draw(2.0))
    shorter = book.forecast("m", 100, 2, 10.0)
    assert shorter == forecast
    assert forecast.calls == CALLS
    one = book.forecast("m", 600, 1, 10.0)
    assert one is not None
    assert one.draw(0.0) == forecast.draw(0.0)
    assert one.draw(2.0) == pytest.approx(forecast.draw(0.0) - 2 * 8.0)
    assert book.forecast("other", 600, 2, 10.0) is None


def test_a_freak_is_forgotten() -> None:
    book = CostBook()
    book.learn("m", 600, 2, Sample(0.0, 1e6, 5.0, 4.0))
    assert book.forecast("m", 600, 2, 7 * 3600.0) is None


def test_the_book_is_bounded_and_survives_a_dump() -> None:
    book = CostBook()
    for model in range(2 * KINDS):
        for _ in range(2 * KEPT):
            book.learn(f"m{model}", 600, 2, Sample(0.0, 1.0, 1.0, 1.0))
    rows = book.dump()
    assert len(rows) == KINDS
    assert max(len(samples) for *_, samples in rows) == KEPT
    other = CostBook()
    other.load(rows)
    assert other.dump() == rows
