"""How signals scatter while all is well, as the rules see it: fault-free rows through the pipeline.

The matcher's noise model comes from here (``diagnose.likelihood``, docs/decisions/0026). Every
``STEP`` rows the evidence is taken against the baseline of ``LAG`` rows ago, as it is in an
incident that old; rows inside a false incident are left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.config.detect import DetectSection
from edge_agent.detect.incident import State
from edge_agent.detect.machine import Machine
from edge_agent.domain.finding import Direction, Finding
from edge_agent.evaluation.dataset import Dataset, Run
from edge_agent.evaluation.detection import rows_of

STEP, LAG = 60, 20
MOST_ROWS = 3000
"""Rows looked at of one run, after those that teach."""
LEAST_LEARN = 60
QUANTILES = (0.5, 0.75, 0.9, 0.97, 0.99)
FREEDOMS = (2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 30.0)
SCALES = tuple(round(0.6 + 0.05 * step, 2) for step in range(25))
UNPLACED = frozenset({Direction.FROZEN, Direction.MISSING})
FAR = 8.0
"""Distances are cut here for the correlation: one excursion must not own it."""

Floats = NDArray[np.float64]


@dataclass
class Noise:
    """The calm signals of one data set."""

    rows: list[dict[str, tuple[float, float]]] = field(default_factory=list)
    """Each look: signal → (sigma, sigma over its noise)."""
    marks: Counter[Direction] = field(default_factory=Counter)

    def add(self, finding: Finding) -> None:
        """Count one look at a machine in order."""
        self.marks.update(one.direction for one in finding.evidence)
        self.rows.append(
            {
                one.signal: (one.sigma, one.sigma / (one.noise or 1.0))
                for one in finding.evidence
                if one.direction not in UNPLACED
            }
        )

    def distances(self) -> Floats:
        """(N, 2) sigma, and in units of its noise, of all signals in all looks."""
        return np.array([pair for row in self.rows for pair in row.values()]).reshape(-1, 2)

    def report(self) -> dict[str, Any]:
        """Quantiles of |sigma| and |z|, shares of the marks, and how many signals' worth of
        independent evidence a look holds."""
        sizes = np.abs(self.distances())
        total = max(1, self.marks.total())
        signals, free = effective_signals(self.rows)
        return {
            "looks": len(self.rows),
            "sigma_quantiles": np.quantile(sizes[:, 0], QUANTILES).round(2).tolist(),
            "z_quantiles": np.quantile(sizes[:, 1], QUANTILES).round(2).tolist(),
            "marks": {str(way): round(n / total, 4) for way, n in self.marks.items()},
            "signals": signals,
            "independent_signals": free,
        }


def noise_of(dataset: Dataset, warmup: int) -> Noise:
    """The fault-free lead-ins and recordings of a set, through the pipeline."""
    found = Noise()
    for run in dataset.runs():
        learn = min(warmup, run.lead_in // 2)
        if not run.to_failure and learn >= LEAST_LEARN:
            _watch(run, learn, found)
    return found


def _watch(run: Run, learn: int, found: Noise) -> None:
    size = max(1, len(run.recording.columns))
    settings = DetectSection(learn_rows=learn, max_signals=size)
    machine = Machine(run.equipment, settings, None, "evaluation")
    baselines: list[Floats] = []
    for number, readings in enumerate(rows_of(run, 0.0)):
        if number >= min(run.lead_in, learn + MOST_ROWS):
            return
        machine.observe(readings)
        if machine.tracker is None or machine.hysteresis.state is State.OPEN:
            baselines.clear()
            continue
        baselines.append(machine.tracker.slow.copy())
        if number % STEP == 0 and len(baselines) > LAG:
            kept, machine.opening_baseline = machine.opening_baseline, baselines[-1 - LAG]
            now = machine.current()
            machine.opening_baseline = kept
            if now is not None:
                found.add(now)


def effective_signals(rows: Iterable[dict[str, tuple[float, float]]]) -> tuple[int, float | None]:
    """Signals, and how many independent ones tell as much: (Σλ)²/Σλ² of the eigenvalues λ of their
    correlation, less what chance alone correlates (Bretherton et al. 1999). None of too few
    looks."""
    listed = list(rows)
    names = sorted({name for row in listed for name in row})
    table = np.array([[row.get(name, (0.0, 0.0))[1] for name in names] for row in listed])
    if len(listed) < 3 * max(2, len(names)):
        return len(names), None
    table = np.clip(table, -FAR, FAR)
    table = table[:, table.std(axis=0) > 0]
    size = table.shape[1]
    if size < 2:
        return size, float(size)
    squares = float((np.corrcoef(table, rowvar=False) ** 2).sum())
    return size, round(size**2 / max(size, squares - size * (size - 1) / len(listed)), 1)


def fit_calm(sets: Iterable[Floats]) -> tuple[float, float, float]:
    """Degrees of freedom and scale of the Student t that fits (N,) distances best, and its mean
    loss in nats; every set counts the same."""
    listed = [one for one in sets if len(one)]
    return min(
        (
            (freedom, scale, sum(_loss(one, freedom, scale) for one in listed) / len(listed))
            for freedom, scale in product(FREEDOMS, SCALES)
        ),
        key=lambda fitted: fitted[2],
    )


def _loss(z: Floats, freedom: float, scale: float) -> float:
    norm = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    norm -= 0.5 * math.log(freedom * math.pi) + math.log(scale)
    t = z / scale
    return float(((freedom + 1) / 2 * np.log1p(t * t / freedom)).mean() - norm)
