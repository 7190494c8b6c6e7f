"""How the demonstration looks: rich renderables from a ``Picture``. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edge_agent.demo.picture import Picture, Trace
from edge_agent.domain.card import Card
from edge_agent.domain.diagnosis import Diagnosis
from edge_agent.domain.finding import Direction, SignalEvidence

BARS = "▁▂▃▄▅▆▇█"
LINE_WIDTH = 40
"""Characters of a signal's line, where the terminal is wide enough."""
ROWS_PER_BAR = 4
FIXED_WIDTH = 60
"""Characters that the other columns take."""
OTHER_LINES = 14
"""Lines of the screen that are not signals."""
CALM_SPREADS = 12.0
"""A line's height spans at least this many usual spreads: noise stays low, faults stand out."""
SEVERITY_STYLE = {"info": "cyan", "warning": "yellow", "critical": "bold red"}
ARROWS = {
    Direction.UP: "▲ up",
    Direction.DOWN: "▼ down",
    Direction.NOISY: "≈ noisy",
    Direction.FROZEN: "■ frozen",
    Direction.MISSING: "∅ missing",
    Direction.NORMAL: "· normal",
}


def live_view(
    picture: Picture, card: Card, header: str, note: str, size: tuple[int, int] = (120, 50)
) -> RenderableType:
    """The whole screen while the machine runs; ``size`` in columns and lines."""
    width, height = size
    parts: list[RenderableType] = [
        _progress(picture, header),
        _signals(picture, card, width, max(4, height - OTHER_LINES)),
    ]
    if picture.incidents:
        parts.append(incident_panel(picture.incidents[-1]))
    parts.append(Text(note, style="dim"))
    return Group(*parts)


def _progress(picture: Picture, header: str) -> RenderableType:
    what, style = "watching", "green"
    done, total = picture.rows, picture.total_rows
    if not picture.learned:
        what, style, total = "learning what is normal", "cyan", picture.learn_rows
    elif picture.fault_row is not None and picture.rows > picture.fault_row:
        what, style = "the fault develops", "yellow"
    grid = Table.grid(padding=(0, 1))
    grid.add_row(
        Text(f"{what:<23}", style=style),
        ProgressBar(
            total=max(total, 1),
            completed=min(done, total),
            width=LINE_WIDTH,
            complete_style=style,
            finished_style=style,
        ),
        Text(f"row {done} of {total}", style="dim"),
    )
    agent = "online" if picture.online else "offline"
    level = governor_level(picture.health)
    state = f"agent {agent}" + (f", governor {level}" if level else "")
    return Panel(
        grid,
        title=escape(header),
        subtitle=f"{escape(picture.source_time[:19])} · {escape(state)}",
        title_align="left",
        subtitle_align="right",
        border_style="blue",
    )


def governor_level(health: dict[str, Any]) -> str:
    """The level that a health message names; empty where it names none."""
    governor = health.get("governor")
    level = governor.get("level") if isinstance(governor, dict) else health.get("governor_level")
    return str(level) if level else ""


def _signals(picture: Picture, card: Card, width: int, rows: int) -> RenderableType:
    """The signals in their order; where they do not fit, those furthest from their usual."""
    line = max(10, min(LINE_WIDTH, width - FIXED_WIDTH))
    names = list(picture.traces)
    if len(names) > rows:
        furthest = sorted(names, key=lambda name: -picture.traces[name].away)[:rows]
        names = [name for name in names if name in furthest]
    table = Table(
        expand=False, border_style="dim", header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("signal", no_wrap=True, max_width=26)
    table.add_column("now", justify="right", min_width=9)
    table.add_column("unit", max_width=8, no_wrap=True)
    table.add_column("usual", justify="right", min_width=9, style="dim")
    table.add_column(f"last {line * ROWS_PER_BAR} rows", min_width=line, no_wrap=True)
    for name in names:
        trace = picture.traces[name]
        known = card.signals.get(name)
        table.add_row(
            name,
            number(trace.values[-1]),
            known.unit if known else "",
            number(trace.level) if trace.level is not None else "…",
            Text(sparkline(trace, line), style=_style(trace)),
        )
    if len(picture.traces) > len(names):
        table.caption = f"{len(names)} of {len(picture.traces)} signals: those furthest from usual"
    return table


def _style(trace: Trace) -> str:
    """Green near the usual level, yellow and red further away: for the eye only."""
    if trace.level is None:
        return "cyan"
    return "green" if trace.away < 4 else "yellow" if trace.away < 8 else "red"


def sparkline(trace: Trace, width: int = LINE_WIDTH) -> str:
    """The last values as a line of at most ``width`` bars; each is the mean of four values."""
    values = list(trace.values)
    if not values:
        return ""
    # Bars stay where they are as the line grows: each covers rows 4k to 4k + 3.
    first = -(trace.seen - len(values)) % ROWS_PER_BAR
    starts = range(first, len(values), ROWS_PER_BAR)
    means = [sum(c) / len(c) for c in (values[i : i + ROWS_PER_BAR] for i in starts)][-width:]
    if not means:
        means = values
    low, high = min(means), max(means)
    least = (high - low) * 3.0
    if trace.level is not None:
        low, high = min(low, trace.level), max(high, trace.level)
        least = CALM_SPREADS * trace.spread
    if high - low < least:
        middle = (low + high) / 2
        low, high = middle - least / 2, middle + least / 2
    span = high - low
    if span <= 0:
        return BARS[3] * len(means)
    return "".join(BARS[min(7, int(8 * (m - low) / span))] for m in means)


def number(value: float) -> str:
    """Four significant digits, never in powers of ten for plant values."""
    if value == 0 or not 1e-4 < abs(value) < 1e7:
        return f"{value:.3g}"
    digits = max(0, 3 - len(str(int(abs(value)))) + 1)
    return f"{value:.{digits}f}"


def incident_panel(incident: dict[str, Any]) -> RenderableType:
    """An incident message, as published: read with care, it comes from the wire."""
    phase = str(incident.get("phase", "?"))
    style = "green" if phase == "closed" else "yellow"
    lines = [escape(str(incident.get("reason", "")))]
    evidence = incident.get("evidence")
    if isinstance(evidence, Sequence) and not isinstance(evidence, str):
        moved = [e for e in evidence if isinstance(e, dict) and e.get("direction") != "normal"]
        if moved:
            lines.append(
                "moved: "
                + ", ".join(escape(f"{e.get('signal')} {e.get('direction')}") for e in moved[:8])
            )
    return Panel(
        "\n".join(lines),
        title=f"incident {escape(phase)} · {escape(str(incident.get('incident_id', '')))}",
        title_align="left",
        border_style=style,
    )


def diagnosis_view(diagnosis: Diagnosis, *, simulated: bool) -> RenderableType:
    """The result an operator reads."""
    style = SEVERITY_STYLE[diagnosis.severity.value]
    parts: list[RenderableType] = [Text(headline(diagnosis), style=style)]
    others = [f"{a.title} {a.probability:.0%}" for a in diagnosis.alternatives[:3]]
    if others:
        parts.append(Text("otherwise: " + ", ".join(others), style="dim"))
    parts += [Text(), Text(diagnosis.explanation), Text(), evidence_table(diagnosis.evidence)]
    if diagnosis.recommended_actions:
        parts.append(Text("What to do", style="bold"))
        parts += [Text(f" {n}. {a}") for n, a in enumerate(diagnosis.recommended_actions, 1)]
        parts.append(Text())
    parts.append(Text(cost_line(diagnosis), style="dim"))
    label = " (simulated machine)" if simulated else ""
    return Panel(
        Group(*parts),
        title=f"diagnosis of {escape(diagnosis.equipment)}{label}",
        title_align="left",
        border_style=style,
    )


def headline(diagnosis: Diagnosis) -> str:
    """Fault, probability, severity."""
    if diagnosis.fault is None:
        return f"undetermined · {diagnosis.severity.value}"
    fault = diagnosis.fault
    return f"{fault.title} · {fault.probability:.0%} · {diagnosis.severity.value}"


def evidence_table(evidence: Sequence[SignalEvidence]) -> Table:
    """Every number in it was computed by code."""
    table = Table(
        border_style="dim",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for heading, justify in (
        ("id", "left"),
        ("signal", "left"),
        ("usual", "right"),
        ("now", "right"),
        ("unit", "left"),
        ("sigma", "right"),
        ("direction", "left"),
        ("since", "left"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for item in evidence:
        since = datetime.fromtimestamp(item.since, UTC) if item.since is not None else None
        table.add_row(
            item.id,
            item.signal,
            number(item.baseline),
            number(item.now),
            item.unit,
            f"{item.sigma:+.1f}",
            ARROWS[item.direction],
            f"{since:%H:%M:%S}" if since else "",
            style="dim" if item.direction is Direction.NORMAL else "",
        )
    return table


def cost_line(diagnosis: Diagnosis) -> str:
    """Who answered, how long it took, what it cost."""
    cost = diagnosis.cost
    who = "rules alone"
    if diagnosis.source_reason:
        who += f" ({diagnosis.source_reason})"
    if diagnosis.source == "model" and diagnosis.model is not None:
        who = f"model {diagnosis.model.name}"
    parts = [who, f"{cost.seconds:.1f} s"]
    if cost.tokens_out:
        rate = cost.tokens_out / cost.seconds if cost.seconds else 0.0
        parts.append(f"{cost.tokens_in} + {cost.tokens_out} tokens, {rate:.0f} tokens/s")
    parts.append(f"{cost.joules:.0f} J {cost.joules_measured_or_estimated}")
    parts.append(f"governor {diagnosis.governor_level.value}")
    return " · ".join(parts)
