"""What must not matter does not: when it was recorded, in which unit, in which order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import SIGNALS, Rows, rows, verdicts

from edge_agent.domain.finding import Finding


def picture(findings: list[Finding], start: float) -> list[tuple[object, ...]]:
    return [
        (f.phase, round(f.at - start, 3), sorted((e.signal, e.direction) for e in f.evidence))
        for f in findings
    ]


def faulty() -> Rows:
    values = rows(500)
    values[320:, 0] -= 6.0
    return values


@settings(max_examples=5, deadline=None)
@given(start=st.floats(1e6, 2e9))
def test_a_time_shift_changes_no_verdict(start: float) -> None:
    start = float(round(start))
    usual = picture(verdicts(faulty()), 1_000_000.0)
    assert usual
    assert picture(verdicts(faulty(), start=start), start) == usual


@settings(max_examples=8, deadline=None)
@given(power=st.integers(-20, 20), offset=st.sampled_from([0.0, 1.0, -300.0]))
def test_a_change_of_unit_changes_no_verdict(power: int, offset: float) -> None:
    factor = 2.0**power
    usual = picture(verdicts(faulty()), 1_000_000.0)
    assert picture(verdicts((faulty() + offset) * factor), 1_000_000.0) == usual


@pytest.mark.parametrize("order", [(3, 2, 1, 0), (1, 0, 3, 2), (2, 3, 0, 1)])
def test_the_order_of_signals_changes_no_verdict(order: tuple[int, ...]) -> None:
    usual = picture(verdicts(faulty()), 1_000_000.0)
    names = [SIGNALS[i] for i in order]
    assert picture(verdicts(faulty()[:, order], names), 1_000_000.0) == usual
