"""The soak as an SVG: one lane for each series, a mark for each disturbance. Pure."""

from __future__ import annotations

import math
from html import escape

from soak import WARM_UP, Soak, verdicts

WIDTH, LANE, LEFT, RIGHT, TOP = 760.0, 74.0, 64.0, 16.0, 44.0
COLOURS = {
    "broker restarted": "#1565c0",
    "broker frozen": "#00838f",
    "worker killed": "#c62828",
    "settings read again": "#6a1b9a",
    "disk full": "#ef6c00",
}


def picture(result: Soak) -> str:
    """The whole picture."""
    height = TOP + LANE * len(result.series) + 26
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + RIGHT:.0f} '
        f'{height:.0f}" font-family="sans-serif" font-size="11">',
        f'<rect width="100%" height="{height:.0f}" fill="#ffffff"/>',
    ]
    parts += _legend()
    end = result.at[-1]
    judged = verdicts(result)
    bottom = height - 26
    for at, what in result.events:
        x = _x(at, end)
        parts.append(_stroke(x, TOP, x, bottom, COLOURS.get(what, "#555555"), 0.35))
    warm = _x(end * WARM_UP, end)
    parts.append(
        f'<rect x="{LEFT}" y="{TOP}" width="{warm - LEFT:.1f}" height="{bottom - TOP:.0f}" '
        'fill="#000000" opacity="0.05"/>'
    )
    for number, (name, values) in enumerate(result.series.items()):
        top = TOP + number * LANE
        parts += _lane(result.at, values, top, _title(name, judged.get(name)))
    step = _step(end / 60)
    for tick in range(0, int(end / 60) + 1, step):
        x = _x(tick * 60, end)
        parts.append(_words(x - 8, height - 10, f"{tick} min"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _title(name: str, judged: dict[str, float] | None) -> str:
    if judged is None:
        return f"{name} (not judged: a new process now and then)"
    word = "flat" if judged["flat"] else "GROWS"
    slope, error = judged["slope_per_hour"], judged["error_per_hour"]
    return f"{name}: {slope:+.3g} ± {error:.2g} an hour, {word}"


def _lane(at: list[float], values: list[float], top: float, title: str) -> list[str]:
    known = [value for value in values if not math.isnan(value)]
    most = max(known, default=1.0) * 1.15 or 1.0
    low, high = top + LANE - 8, top + 18
    parts = [
        _stroke(LEFT, low, LEFT + WIDTH, low, "#b0bec5", 1.0),
        _words(LEFT + 6, top + 13, title),
        _words(8, low, "0"),
        _words(8, high + 6, f"{most:.3g}"),
    ]
    piece: list[str] = []
    for moment, value in [*zip(at, values, strict=True), (0.0, math.nan)]:
        if math.isnan(value):
            if len(piece) > 1:
                parts.append(
                    f'<polyline points="{" ".join(piece)}" fill="none" stroke="#263238" '
                    'stroke-width="1.2"/>'
                )
            piece = []
        else:
            piece.append(f"{_x(moment, at[-1]):.1f},{low - (low - high) * value / most:.1f}")
    return parts


def _legend() -> list[str]:
    parts, x = [_words(8, 16, "Warm-up shaded; lines mark disturbances:")], 262.0
    for what, colour in COLOURS.items():
        parts.append(f'<rect x="{x}" y="8" width="10" height="10" fill="{colour}" opacity="0.6"/>')
        parts.append(_words(x + 14, 17, what))
        x += 26 + 6.2 * len(what)
    return parts


def _step(minutes: float) -> int:
    return next((step for step in (1, 2, 5, 10, 30, 60, 120) if minutes / step <= 12), 360)


def _x(at: float, end: float) -> float:
    return LEFT + WIDTH * at / end


def _stroke(x1: float, y1: float, x2: float, y2: float, colour: str, opacity: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'opacity="{opacity}"/>'
    )


def _words(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="#37474f">{escape(text)}</text>'
