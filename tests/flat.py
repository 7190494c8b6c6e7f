"""Resident memory of detection over many readings: ``python tests/flat.py 10000000``."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_agent.config.detect import DetectSection
from edge_agent.detect.detection import Detection
from edge_agent.domain.telemetry import Reading

SIGNALS = tuple(f"s{number}" for number in range(10))
BLOCK = 1_000


def stream(count: int) -> Iterator[list[Reading]]:
    """``count`` readings of one machine with ten signals; it is faulty every other hour."""
    random = np.random.default_rng(3)
    for first in range(0, count // len(SIGNALS), BLOCK):
        values = random.normal(20.0, 1.0, (BLOCK, len(SIGNALS)))
        if first // 3600 % 2:
            values[:, 0] += 6.0
        for number, row in enumerate(values.tolist(), first):
            yield [
                Reading("pump", name, value, 1e9 + number)
                for name, value in zip(SIGNALS, row, strict=True)
            ]


def resident() -> int:
    """Bytes that are in memory now, or the most there ever were where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()


def growth(count: int) -> tuple[int, int, float]:
    """(findings, bytes gained since the first tenth, CPU µs a reading)."""
    watch = Detection(DetectSection(), lambda _: None, "flat")
    findings, before, started = 0, 0, time.process_time()
    for number, batch in enumerate(stream(count)):
        findings += len(watch.observe(batch))
        if number == count // len(SIGNALS) // 10:
            before = resident()
    return findings, resident() - before, 1e6 * (time.process_time() - started) / count


if __name__ == "__main__":
    found, gained, each = growth(int(sys.argv[1]))
    sys.stdout.write(f"{found} findings, {gained / 1e6:+.2f} MB, {each:.1f} µs CPU a reading\n")
