"""Made-up machines, as rows and as readings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from edge_agent.config.detect import DetectSection
from edge_agent.detect.detection import Detection
from edge_agent.domain.finding import Finding
from edge_agent.domain.telemetry import Reading

Rows = NDArray[np.float64]
SIGNALS = ("flow", "pressure", "current", "temperature")


def rows(count: int, *, seed: int = 1, drift: float = 0.0) -> Rows:
    """(count, 4) flow and pressure that hang together, a current, and a temperature that wanders;
    ``drift`` is added to the temperature over the whole length."""
    random = np.random.default_rng(seed)
    load = random.normal(0, 0.5, count)
    flow = 50 + load + random.normal(0, 0.3, count)
    pressure = 3 - 0.1 * load + random.normal(0, 0.03, count)
    current = 8 + 0.2 * load + random.normal(0, 0.1, count)
    wander = np.cumsum(random.normal(0, 0.01, count))
    temperature = 60 + wander + np.linspace(0, drift, count) + random.normal(0, 0.05, count)
    return np.stack((flow, pressure, current, temperature), axis=1)


def detection(learn_rows: int = 200) -> Detection:
    return Detection(DetectSection(learn_rows=learn_rows), lambda _: None, "test")


def readings(
    values: Rows,
    names: Iterable[str] = SIGNALS,
    *,
    equipment: str = "pump-1",
    start: float = 1_000_000.0,
    period: float = 1.0,
) -> Iterator[list[Reading]]:
    names = tuple(names)
    for number, row in enumerate(values.tolist()):
        at = start + number * period
        yield [Reading(equipment, name, value, at) for name, value in zip(names, row, strict=True)]


def verdicts(values: Rows, names: Iterable[str] = SIGNALS, **options: float) -> list[Finding]:
    watch = detection()
    return [
        found
        for batch in readings(values, names, **options)  # type: ignore[arg-type]
        for found in watch.observe(batch)
    ]
