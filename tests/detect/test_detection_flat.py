"""Memory stays flat; the docs give the figure for ten million readings."""

from __future__ import annotations

from flat import growth


def test_memory_stays_flat_while_incidents_come_and_go() -> None:
    findings, gained, _ = growth(100_000)
    assert findings
    assert gained < 2_000_000
