"""Which times a gateway's clock can honestly show."""

import pytest

from edge_agent.walltime import trusted


@pytest.mark.parametrize(
    ("now", "honest"),
    [(0.0, False), (1.7e9, False), (1.8e9, True), (2.0e9, True), (1.0e10, False)],
)
def test_only_plausible_times_are_trusted(now: float, honest: bool) -> None:
    assert trusted(now) is honest
