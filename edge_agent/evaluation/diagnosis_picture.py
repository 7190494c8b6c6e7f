"""A picture of diagnoses, as SVG: who was taken for whom, and how sure against how right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

CELL, LEFT, TOP, PAD = 26, 250, 150, 24
SIDE = 220
SHOWN = 34
"""Letters of a fault's name."""
INK, HIT, MISS, LINE = "#1f2d3a", (44, 93, 134), (192, 57, 43), "#c9d1d8"
NO_FAULT = ("undetermined", "no incident")
TITLES = {"rules": "rules", "model": "model", "combined": "rules and model"}
FROM = {"onset": "from the true onset", "incident": "from the pipeline's incident"}


def draw(reports: Sequence[Mapping[str, Any]]) -> str:
    """Of each set, way and view with answers: confusion matrix and reliability diagram."""
    parts: list[str] = []
    top, width = float(PAD), 0.0
    for report in reports:
        for way, title in TITLES.items():
            for view, row in report.get(way, {}).items():
                if not row.get("answered"):
                    continue
                head = f"{report['name']}, {title}, {FROM[view]}: top-1 {row['top1']:.2f}"
                body, height, wide = _page(head, row, top)
                parts += body
                top += height + PAD
                width = max(width, wide)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + PAD:.0f}" height="{top:.0f}" '
        f'font-family="sans-serif" font-size="11">\n<rect width="100%" height="100%" fill="white"/>'
        "\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _page(title: str, row: Mapping[str, Any], top: float) -> tuple[list[str], float, float]:
    confusion: Mapping[str, Mapping[str, int]] = row["confusion"]
    answers = sorted({name for said in confusion.values() for name in said} - set(NO_FAULT))
    columns = sorted({*confusion, *answers}) + [
        name for name in NO_FAULT if any(name in said for said in confusion.values())
    ]
    parts = [_text(PAD, top, f"{title}, ECE {row['ece']:.2f}", bold=True)]
    parts += _matrix(confusion, columns, top)
    left = LEFT + CELL * len(columns) + 3 * PAD
    parts += _reliability(row["reliability"], left, top + 30)
    height = max(TOP + CELL * len(confusion), SIDE + 80.0)
    return parts, height, left + SIDE + 3 * PAD


def _matrix(
    confusion: Mapping[str, Mapping[str, int]], columns: Sequence[str], top: float
) -> list[str]:
    """Rows: the truth; columns: what was published."""
    parts = []
    for number, name in enumerate(columns):
        x = LEFT + CELL * (number + 0.65)
        parts.append(
            f'<text transform="translate({x:.0f},{top + TOP - 6:.0f}) rotate(-55)" fill="{INK}">'
            f"{escape(_short(name, 22))}</text>"
        )
    for line, (truth, said) in enumerate(confusion.items()):
        y = top + TOP + CELL * line
        total = sum(said.values())
        parts.append(_text(LEFT - 8, y + CELL * 0.65, f"{_short(truth)} ({total})", end=True))
        for number, name in enumerate(columns):
            count = said.get(name, 0)
            x = LEFT + CELL * number
            colour = _shade(count / total, HIT if name in truth.split("+") else MISS, name)
            parts.append(
                f'<rect x="{x}" y="{y:.0f}" width="{CELL - 1}" height="{CELL - 1}" '
                f'fill="{colour}" stroke="{LINE}" stroke-width="0.5"/>'
            )
            if count:
                dark = count / total > 0.5 and name not in NO_FAULT
                ink = "white" if dark else INK
                parts.append(_text(x + CELL / 2, y + CELL * 0.65, str(count), middle=True, ink=ink))
    return parts


def _reliability(bins: Sequence[tuple[float, float, int]], left: float, top: float) -> list[str]:
    """Published probability (across) against the share of right answers (up), a dot a bin."""
    low = top + SIDE
    parts = [
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{SIDE}" height="{SIDE}" fill="none" '
        f'stroke="{LINE}"/>',
        f'<line x1="{left:.0f}" y1="{low:.0f}" x2="{left + SIDE:.0f}" y2="{top:.0f}" '
        f'stroke="{LINE}" stroke-dasharray="4 3"/>',
        _text(left + SIDE / 2, low + 30, "published probability of the first fault", middle=True),
        _text(left, top - 8, "share that was right (area: number of answers)"),
    ]
    for tick in (0.0, 0.5, 1.0):
        parts.append(_text(left + SIDE * tick, low + 14, f"{tick:g}", middle=True))
        parts.append(_text(left - 6, low - SIDE * tick + 4, f"{tick:g}", end=True))
    for p, right, count in bins:
        x, y = left + SIDE * p, low - SIDE * right
        parts.append(
            f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{x:.1f}" y2="{low - SIDE * p:.1f}" '
            f'stroke="rgb{MISS}" stroke-width="1.2"/>'
        )
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{2.5 * count**0.5 + 1:.1f}" fill="rgb{HIT}" '
            'opacity="0.8"/>'
        )
    return parts


def _shade(share: float, colour: tuple[int, int, int], name: str) -> str:
    """White for none; a right answer is blue, a wrong one red, none at all grey."""
    target = (150, 160, 168) if name in NO_FAULT else colour
    mixed = (round(255 - share * (255 - part)) for part in target)
    return "rgb({},{},{})".format(*mixed)


def _short(name: str, length: int = SHOWN) -> str:
    plain = name.replace("_", " ")
    return plain if len(plain) <= length else plain[: length - 1] + "…"


def _text(
    x: float,
    y: float,
    text: str,
    *,
    bold: bool = False,
    middle: bool = False,
    end: bool = False,
    ink: str = INK,
) -> str:
    anchor = "middle" if middle else "end" if end else "start"
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{ink}"{weight}>'
        f"{escape(text)}</text>"
    )
