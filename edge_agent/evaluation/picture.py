"""A picture of verdicts, as SVG: signals, truth, score, operating states and incidents."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from edge_agent.evaluation.dataset import FAULT, UNSCORED
from edge_agent.evaluation.detection import Verdicts

WIDTH, LANE, LEFT, GAP = 1100, 34, 230, 26
POINTS = 1000
"""Points of a line at most; more rows than that are drawn as their extremes."""
MAX_SIGNALS = 16
COLOURS = {"truth": "#f3c5bf", "unscored": "#e8e8e8", "alarm": "#c0392b", "line": "#2c5d86"}
STATES = {"unknown": "#dddddd", "running": "#cfe3cf", "off": "#9aa5ad"}
OTHER_STATES = ("#8fbf8f", "#5f9f5f", "#e0d28a", "#c9b458", "#a7c7c7", "#7fb0b0")


def draw(runs: Sequence[Verdicts]) -> str:
    """All runs below each other."""
    parts: list[str] = []
    top = 10.0
    for one in runs:
        body, height = _run(one, top)
        parts += body
        top += height + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + LEFT + 20}" height="{top:.0f}" '
        f'font-family="sans-serif" font-size="11">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _run(one: Verdicts, top: float) -> tuple[list[str], float]:
    rows = len(one.run.truth)
    values = one.run.recording.values[one.run.first : one.run.first + rows]
    names = one.run.recording.columns[:MAX_SIGNALS]
    height = LANE * (len(names) + 1) + 34
    parts = [_text(0, top + 10, f"{one.run.name}: learned from {one.learned_from}", bold=True)]
    low = top + 16
    for kind, colour in ((FAULT, "truth"), (UNSCORED, "unscored")):
        parts += [
            _box(first, last, rows, low, height - 2, COLOURS[colour], 1.0)
            for first, last in spans(one.run.truth == kind)
        ]
    for number, name in enumerate(names):
        lane = low + number * LANE
        parts.append(_text(0, lane + LANE / 2, name))
        parts.append(_line(values[:, number], rows, lane, COLOURS["line"]))
    lane = low + len(names) * LANE
    parts.append(_text(0, lane + LANE / 2, "score (1 opens)"))
    parts.append(_line(np.minimum(one.score, 3.0), rows, lane, "#555555", limits=(0.0, 3.0)))
    one_at = lane + LANE - 3 - (LANE - 6) / 3
    parts.append(
        f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{one_at:.1f}" y2="{one_at:.1f}" '
        'stroke="#999" stroke-dasharray="3 3"/>'
    )
    for first, last in spans(one.alarm):
        parts.append(_box(first, last, rows, lane + LANE, 10, COLOURS["alarm"], 0.9))
    parts.append(_text(0, lane + LANE + 10, "incident"))
    parts += _states(one, lane + LANE + 14)
    parts += [_mark(row, rows, low, height) for row in one.opened]
    return parts, height + 30.0


def _states(one: Verdicts, top: float) -> list[str]:
    """A band of the operating states, each told where it is first taken up."""
    said = np.array(one.states)
    others = [name for name in dict.fromkeys(one.states) if name not in STATES]
    colours = STATES | {
        name: OTHER_STATES[number % len(OTHER_STATES)] for number, name in enumerate(others)
    }
    parts, names = [_text(0, top + 12, "operating state")], []
    for name in dict.fromkeys(one.states):
        pieces = spans(said == name)
        parts += [_box(a, b, len(said), top, 16, colours[name], 1.0) for a, b in pieces]
        first, last = max(pieces, key=lambda piece: piece[1] - piece[0])
        if last - first > len(said) / 20:
            names.append(_text(_x(first, len(said)), top + 12, name))
    return parts + names


def spans(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, end) of each stretch of True, end exclusive."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _x(row: float, rows: int) -> float:
    return LEFT + WIDTH * row / max(1, rows)


def _line(
    values: NDArray[np.float64],
    rows: int,
    top: float,
    colour: str,
    limits: tuple[float, float] | None = None,
) -> str:
    known = np.isfinite(values) & (np.abs(values) < 1e15)
    if not known.any():
        return ""
    low, high = limits or np.percentile(values[known], (0.5, 99.5)).tolist()
    room = high - low or 1.0
    bounded = np.clip((values - low) / room, -0.1, 1.1)
    step = max(1, -(-2 * rows // POINTS))
    points = []
    for start in range(0, rows, step):
        piece = bounded[start : start + step][known[start : start + step]]
        if len(piece):
            at = _x(start + step / 2, rows)
            points += [
                f"{at:.1f},{top + LANE - 3 - (LANE - 6) * v:.1f}"
                for v in (piece.min(), piece.max())
            ]
    return (
        f'<polyline fill="none" stroke="{colour}" stroke-width="0.8" points="{" ".join(points)}"/>'
    )


def _box(
    first: int, last: int, rows: int, top: float, height: float, colour: str, opacity: float
) -> str:
    left, right = _x(first, rows), _x(last, rows)
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(0.7, right - left):.1f}" '
        f'height="{height:.1f}" fill="{colour}" opacity="{opacity}"/>'
    )


def _mark(row: int, rows: int, top: float, height: float) -> str:
    at = _x(row, rows)
    return (
        f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top:.1f}" y2="{top + height:.1f}" '
        f'stroke="{COLOURS["alarm"]}" stroke-width="0.8"/>'
    )


def _text(x: float, y: float, text: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x + 4:.0f}" y="{y:.0f}"{weight}>{escape(text)}</text>'
