"""Swings around an unmoved mean: a loop that hunts, a tone of a bearing."""

from __future__ import annotations

import numpy as np
import pytest
from streams import SIGNALS, Rows, detection, readings, rows

from edge_agent.config.detect import DetectSection
from edge_agent.detect.detection import Detection
from edge_agent.domain.finding import Direction, Finding, IncidentPhase, Shape
from edge_agent.domain.telemetry import Reading
from edge_agent.simulate.pump import PumpLoop

LEARN, ONSET, END = 300, 500, 900


def swinging(period: float, size: float, signal: int = 0, seed: int = 1) -> Rows:
    """Rows with a swing in one signal; ``size``: its amplitude in spreads of the signal."""
    values = rows(1500, seed=seed)
    spread = values[:LEARN, signal].std()
    at = np.arange(ONSET, END)
    values[ONSET:END, signal] += size * spread * np.sin(2 * np.pi * at / period)
    return values


def found_in(values: Rows, period: float = 1.0) -> list[Finding]:
    watch = Detection(DetectSection(learn_rows=LEARN, row_s=period), lambda _: None, "test")
    batches = readings(values[:, :3], SIGNALS[:3], period=period)
    return [one for batch in batches for one in watch.observe(batch)]


@pytest.mark.parametrize("period", [5.0, 6.0, 9.0, 15.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_loop_that_hunts_is_found_with_its_period(period: float, seed: int) -> None:
    found = found_in(swinging(period, 3.0, seed=seed))
    opened = found[0]
    assert opened.phase is IncidentPhase.OPENED
    assert ONSET < opened.opened_at - 1e6 < ONSET + 250
    first = opened.evidence[0]
    assert (first.signal, first.direction, first.shape) == (
        "flow",
        Direction.NOISY,
        Shape.OSCILLATION,
    )
    assert first.period_s == pytest.approx(period, rel=0.3)
    assert "swings with a period" in opened.reason
    assert abs(first.now - first.baseline) < 1.0  # the mean stayed
    assert found[-1].phase is IncidentPhase.CLOSED
    assert "swings" in found[-1].reason  # what it was about stays said


def test_a_tone_of_a_bearing_is_heard_where_the_rate_allows() -> None:
    """50 rows a second of an accelerometer: a tone of 6 Hz that the mean knows nothing of."""
    found = found_in(swinging(50.0 / 6.0, 3.0), period=0.02)
    assert found[0].evidence[0].period_s == pytest.approx(1 / 6, rel=0.3)


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_noise_of_any_kind_is_no_swing(seed: int) -> None:
    found = found_in(rows(4000, seed=seed))
    assert all(one.period_s is None for finding in found for one in finding.evidence)
    loud = rows(1200, seed=seed)
    loud[600:, 0] += np.random.default_rng(seed).normal(0, 1.5, 600)  # louder at every period
    found = found_in(loud)
    assert found
    assert found[-1].evidence
    assert all(one.period_s is None for finding in found for one in finding.evidence)


def test_the_simulated_pump_hunts_when_its_drive_does() -> None:
    """The drive's speed swings by a half per cent every 12 s: the mean flow stays."""
    duty = [(float(t), 1.0 + (0.03 if (t // 6) % 2 else -0.03)) for t in range(500, 900)]
    loop = PumpLoop(3, duty=duty)
    watch = Detection(DetectSection(learn_rows=LEARN), lambda _: None, "test")
    found = []
    for number in range(900):
        batch = [Reading("pump", n, v, 1e6 + number) for n, v in loop.step(1.0).items()]
        found += watch.observe(batch)
    assert found
    assert found[0].opened_at - 1e6 >= 500
    swings = {one.signal for f in found for one in f.evidence if one.period_s is not None}
    assert swings & {"flow", "discharge_pressure", "motor_current"}


def test_a_step_is_no_swing() -> None:
    values = rows(1200)
    values[ONSET:] -= 5.0
    found = found_in(values)
    assert found
    assert all(one.period_s is None for f in found for one in f.evidence)


def test_a_restart_keeps_the_resonators() -> None:
    values = list(readings(swinging(9.0, 3.0)))
    whole, first, second = detection(LEARN), detection(LEARN), detection(LEARN)
    expected = [one for batch in values for one in whole.observe(batch)]
    found = [one for batch in values[:530] for one in first.observe(batch)]
    second.restore(first.snapshots())
    found += [one for batch in values[530:] for one in second.observe(batch)]
    assert found == expected
