"""The figures of ``bench budget`` and its picture. Pure."""

from __future__ import annotations

from collections import Counter
from html import escape
from itertools import groupby
from typing import Any

from edge_agent.bench.budget import Outcome
from edge_agent.domain.level import Level


def report(outcome: Outcome) -> dict[str, Any]:
    """What ``--json`` prints. Watts and joules are the plant's own, not the governor's."""
    options, plant = outcome.options, outcome.plant
    if plant is None:
        raise ValueError("the run has not been made")
    seconds = outcome.ended - outcome.started
    total = plant.joules(outcome.started, outcome.ended)
    mean = total / seconds
    done = len(outcome.answers)
    spare = max(0.0, options.watts - options.idle_watts)
    windows = rolling(outcome)
    levels = Counter(str(trace.status.level) for trace in outcome.traces)
    above = total - options.idle_watts * seconds
    each = _mean(outcome.joules)
    by_energy = spare * seconds / each if each else 0.0
    return {
        "budget_watts": options.watts,
        "mean_watts": round(mean, 3),
        "error": round(mean / options.watts - 1, 4),
        "worst_window_watts": round(max((watts for _, watts in windows), default=mean), 3),
        "window_s": options.window_s,
        "throughput_share": round(done / by_energy, 4) if done else 0.0,
        "energy_share": round(above / (spare * seconds), 4) if spare else 0.0,
        "diagnoses": done,
        "rules_only": outcome.rules_only,
        "failures": dict(outcome.failures),
        "joules_per_diagnosis": round(each, 2),
        "joules_wasted": round(above - sum(outcome.joules), 1),
        "full_speed_joules": round(outcome.full_joules, 2),
        "full_speed_seconds": round(outcome.full_seconds, 2),
        "seconds_per_diagnosis": round(_mean([answer.seconds for answer in outcome.answers]), 2),
        "tokens_out": round(_mean([float(answer.tokens_out) for answer in outcome.answers]), 1),
        "memory_limit_mb": options.memory_mb,
        "memory_peak_mb": round(
            max((t.status.daemon_mb + t.status.worker_mb for t in outcome.traces), default=0.0), 1
        ),
        "levels": {name: round(n / len(outcome.traces), 3) for name, n in levels.items()},
        "token_gap_s": round(_mean([a.token_gap_s for a in outcome.allowances]), 3),
        "threads": dict(Counter(allowance.threads for allowance in outcome.allowances)),
        "neighbour_ms": {"alone": outcome.alone_ms, "beside": outcome.beside_ms},
        "seconds": round(seconds, 1),
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def rolling(outcome: Outcome) -> list[tuple[float, float]]:
    """(seconds since the start, mean watts over the window that ends there), full windows only."""
    plant, window = outcome.plant, outcome.options.window_s
    samples = [] if plant is None else plant.samples
    samples = [s for s in samples if outcome.started < s.at <= outcome.ended]
    found, first, joules, seconds = [], 0, 0.0, 0.0
    for sample in samples:
        joules += sample.watts * sample.seconds
        seconds += sample.seconds
        while seconds - samples[first].seconds >= window:
            joules -= samples[first].watts * samples[first].seconds
            seconds -= samples[first].seconds
            first += 1
        if seconds >= 0.99 * window:
            found.append((sample.at - outcome.started, joules / seconds))
    return found


WIDTH, HEIGHT, LEFT, TOP, BAND = 860.0, 300.0, 56.0, 34.0, 14.0
COLOURS = {
    Level.FULL: "#2e7d32",
    Level.ECO: "#9ccc65",
    Level.SHORT: "#ffca28",
    Level.RULES_ONLY: "#ef6c00",
    Level.PAUSED: "#b71c1c",
}


def picture(outcome: Outcome) -> str:
    """An SVG: power, its average over the window, the budget, and the level below."""
    plant, options = outcome.plant, outcome.options
    samples = [] if plant is None else plant.samples
    power = [(s.at - outcome.started, s.watts) for s in samples]
    power = [(at, watts) for at, watts in power if 0 <= at <= outcome.ended - outcome.started]
    length = max(1.0, outcome.ended - outcome.started)
    most = 1.1 * max([options.watts, *(watts for _, watts in power)])

    def x(at: float) -> float:
        return LEFT + (WIDTH - LEFT - 12) * at / length

    def y(watts: float) -> float:
        return TOP + (HEIGHT - TOP - 60) * (1 - watts / most)

    def line(points: list[tuple[float, float]], colour: str, width: float) -> str:
        path = " ".join(f"{x(at):.1f},{y(watts):.1f}" for at, watts in points)
        return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'

    budget = [(0.0, options.watts), (length, options.watts)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH:.0f}" height="{HEIGHT:.0f}" fill="#ffffff"/>',
        line(power, "#b0bec5", 1),
        line(budget, "#c62828", 1.5),
        line(rolling(outcome), "#1565c0", 2.5),
        *_axis(x, y, length, most),
        *_band(outcome, x),
        _words(20, f"budget {options.watts:g} W", "#c62828", LEFT + 6),
        _words(20, f"average over {options.window_s:g} s", "#1565c0", LEFT + 110),
        _words(20, "power", "#78909c", LEFT + 260),
    ]
    return "\n".join([*parts, "</svg>\n"])


def _axis(x: Any, y: Any, length: float, most: float) -> list[str]:  # noqa: ANN401 - two scales
    step = max(1, round(most / 6))
    marks = [_words(y(w) + 4, f"{w} W", "#455a64", 8) for w in range(0, int(most) + 1, step)]
    every = max(10, round(length / 80) * 10)
    return marks + [
        _words(HEIGHT - 12, f"{s} s", "#455a64", x(s)) for s in range(0, int(length) + 1, every)
    ]


def _band(outcome: Outcome, x: Any) -> list[str]:  # noqa: ANN401 - the scale of picture()
    top = HEIGHT - 48
    boxes, before = [], 0.0
    for level, run in groupby(outcome.traces, key=lambda trace: trace.status.level):
        end = list(run)[-1].at
        boxes.append(
            f'<rect x="{x(before):.1f}" y="{top}" width="{x(end) - x(before):.1f}" '
            f'height="{BAND}" fill="{COLOURS[level]}"/>'
        )
        before = end
    seen = [level for level in COLOURS if any(t.status.level is level for t in outcome.traces)]
    names = [
        _words(20, str(level), COLOURS[level], WIDTH - 80 * (len(seen) - place))
        for place, level in enumerate(seen)
    ]
    return boxes + names


def _words(y: float, text: str, colour: str, x: float) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}">{escape(text)}</text>'
