from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.config.govern import GovernSection
from edge_agent.domain.level import Level
from edge_agent.govern.governor import Governor

Put = Callable[[str, object], Path]


@pytest.mark.parametrize(
    ("file", "word", "levels"),
    [("memory", "memory", (Level.RULES_ONLY, Level.PAUSED)), ("io", "the disk", (Level.SHORT,))],
)
def test_fault_27_when_everybody_waits_the_model_gives_way(
    root: Path, put: Put, file: str, word: str, levels: tuple[Level, ...]
) -> None:
    """Pressure stall information as the kernel writes it while page cache is thrown out and read
    again; a real thrash would take the test machine with it."""
    put("proc/meminfo", "MemAvailable: 4000000 kB")
    now = [1000.0]

    def clock() -> float:
        return now[0]

    section = GovernSection(sensor_root=root, memory_mb=600, hysteresis_s=5)
    governor = Governor(section, clock=clock, monotonic=clock, state=None)

    def pressed(full: float, seconds: int) -> None:
        put(f"proc/pressure/{file}", f"some avg10={full} avg60=1\nfull avg10={full} avg60=1")
        for _ in range(seconds):
            now[0] += 1.0
            governor.sample()

    pressed(0.0, 5)
    assert governor.status().level is Level.FULL
    pressed(80.0, 5)
    status = governor.status()
    assert status.level in levels
    assert governor.admit(500, 200).may_use_model == (Level.SHORT in levels)
    assert f"waited for {word}" in status.reason
    assert "80 %" in status.reason
    pressed(0.0, 120)
    assert governor.status().level is Level.FULL, "it comes back by itself"
