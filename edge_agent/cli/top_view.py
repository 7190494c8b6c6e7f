"""How ``edge-agent top`` looks: a health report as rich renderables. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edge_agent.cli.report_parts import (
    Report,
    duration,
    level_and_reason,
    machines_by_state,
    part,
    within,
)

BAR = 30
STALE_S = 150.0
"""Health comes each minute: silent for longer than two of them, something is wrong."""

LONGEST_S = 1e9
"""An age beyond it means that no report has come at all."""


def screen(report: Report, diagnoses: Sequence[Report], age_s: float) -> RenderableType:
    """The whole screen. ``report``: a health message; missing parts are left blank.

    ``diagnoses``: diagnosis messages, oldest first. ``age_s``: how old the report is.
    """
    parts = [_head(report, age_s), _budgets(report), _work(report, diagnoses)]
    if diagnoses:
        parts.append(_diagnoses(diagnoses))
    return Group(*parts)


def _head(report: Report, age_s: float) -> RenderableType:
    agent, governor = part(report, "agent"), part(report, "governor")
    text = Text.assemble(
        (str(agent.get("id", "edge-agent")), "bold"),
        (f" {agent.get('version', '')}  up {duration(agent.get('uptime_s'))}   ", "dim"),
        level_and_reason(report),
    )
    if age_s > STALE_S:
        age = "a long time" if age_s > LONGEST_S else duration(age_s)
        text.append(f"\nno report for {age}: is the agent running?", "bold red")
    for alarm in governor.get("alarms") or ():
        text.append(f"\n{alarm}", "bold red")
    return Panel(text, padding=(0, 1))


def _budgets(report: Report) -> RenderableType:
    governor = part(report, "governor")
    grid = Table.grid(padding=(0, 2))
    how = "measured" if governor.get("watts_measured") else "estimated"
    watts, budget = governor.get("watts"), governor.get("budget_watts")
    grid.add_row(
        "power", _bar(watts, budget), within(watts, budget, "W"), Text(f"now, {how}", style="dim")
    )
    store = governor.get("joules_in_store")
    note = "" if store is None else f"{store:.0f} J in store"
    average = governor.get("average_watts")
    grid.add_row("average", _bar(average, budget), within(average, budget, "W"), note)
    ours = _sum(governor.get("daemon_mb"), governor.get("worker_mb"))
    limit = governor.get("memory_budget_mb")
    host = governor.get("host_available_mb")
    note = "" if host is None else f"host has {host:.0f} MB left"
    grid.add_row("memory", _bar(ours, limit), within(ours, limit, "MB", 0), note)
    headroom, hottest = governor.get("headroom_c"), governor.get("hottest_c")
    if headroom is not None and hottest is not None:
        trip = hottest + headroom
        grid.add_row(
            "heat", _bar(hottest, trip), within(hottest, trip, "°C", 0), "to the trip point"
        )
    busy, cores = governor.get("busy_cores"), governor.get("cores")
    note = f"{governor.get('threads', '?')} threads for the model"
    waiting = governor.get("cpu_waiting_percent")
    if waiting is not None:
        note += f", somebody waits {waiting:.0f} % of the time"
    grid.add_row("cores", _bar(busy, cores), within(busy, cores, "busy", 2), note)
    charge = governor.get("charge_percent")
    if charge is not None:
        on = "on battery" if governor.get("on_battery") else "on mains"
        grid.add_row("battery", _bar(charge, 100), f"{charge:.0f} %", on)
    return Panel(grid, title="budgets", title_align="left", padding=(0, 1))


def _work(report: Report, diagnoses: Sequence[Report]) -> RenderableType:
    store, worker = part(report, "store"), part(report, "worker")
    jobs, outbox = part(store, "jobs"), part(store, "outbox")
    queue = ", ".join(f"{count} {state}" for state, count in jobs.items() if count) or "no jobs"
    grid = Table.grid(padding=(0, 2))
    grid.add_row("jobs", queue, f"{outbox.get('waiting', 0)} messages wait to be sent")
    rss = worker.get("rss_mb") or 0.0
    state = f"{worker.get('state', '?')} {worker.get('reason') or ''}".strip()
    grid.add_row("model", escape(str(worker.get("model", "?"))), f"{escape(state)}, {rss:.0f} MB")
    speed = tokens_per_second(diagnoses)
    if speed is not None:
        grid.add_row("speed", f"{speed:.1f} tokens/s", "last diagnosis by the model")
    states = sorted(machines_by_state(report).items())
    if states:
        grid.add_row("machines", ", ".join(f"{count} {state}" for state, count in states))
    return Panel(grid, title="work", title_align="left", padding=(0, 1))


def tokens_per_second(diagnoses: Sequence[Report]) -> float | None:
    """Answer tokens per second of the newest diagnosis that a model made."""
    for diagnosis in reversed(diagnoses):
        cost = part(diagnosis, "cost")
        if diagnosis.get("source") == "model" and cost.get("seconds"):
            return float(cost.get("tokens_out", 0)) / float(cost["seconds"])
    return None


def _diagnoses(diagnoses: Sequence[Report]) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("at", "machine", "fault", "p", "by", "tokens", "s", "J", "level"):
        table.add_column(name, justify="right" if name in ("p", "tokens", "s", "J") else "left")
    for diagnosis in reversed(diagnoses[-8:]):
        fault, cost = part(diagnosis, "fault"), part(diagnosis, "cost")
        mark = "" if cost.get("joules_measured_or_estimated") == "measured" else "~"
        table.add_row(
            str(diagnosis.get("created_at", ""))[11:19],
            escape(str(diagnosis.get("equipment", ""))),
            escape(str(fault.get("title") or diagnosis.get("verdict", ""))),
            f"{fault['probability']:.2f}" if "probability" in fault else "",
            str(diagnosis.get("source", "")),
            str(cost.get("tokens_out", "")),
            f"{cost.get('seconds', 0.0):.1f}",
            f"{mark}{cost.get('joules', 0.0):.1f}",
            str(diagnosis.get("governor_level", "")),
        )
    return Panel(table, title="last diagnoses", title_align="left", padding=(0, 1))


def _bar(value: float | None, most: float | None) -> RenderableType:
    if value is None or not most:
        return Text("─" * BAR, style="dim")
    share = value / most
    style = "green" if share < 0.8 else "yellow" if share <= 1.0 else "red"
    return ProgressBar(
        total=1.0,
        completed=min(1.0, max(0.0, share)),
        width=BAR,
        complete_style=style,
        finished_style=style,
    )


def _sum(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
