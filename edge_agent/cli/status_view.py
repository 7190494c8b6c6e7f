"""How ``edge-agent status`` looks: a health report as rich renderables. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.markup import escape
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

MACHINES_SHOWN = 20
DIAGNOSES_SHOWN = 5


def page(report: Report) -> RenderableType:
    """The whole page. ``report``: the health document; parts that are missing are left out."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in (
        ("level", level_and_reason(report)),
        ("broker", _broker(report)),
        ("machines", _machines(report)),
        ("queue", _queue(report)),
        ("model", _model(report)),
        ("power", _power(report)),
        ("memory", _memory(report)),
        ("heat", _heat(report)),
    ):
        facts.add_row(name, value)
    for alarm in _alarms(report):
        facts.add_row(Text("alarm", style="bold red"), Text(alarm, style="red"))
    parts: list[RenderableType] = [_head(report), facts]
    equipment = {name: one for name, one in part(report, "equipment").items() if _is_map(one)}
    if equipment:
        parts += ["", _equipment_table(equipment)]
    last = part(report, "results").get("last") or ()
    if last:
        parts += ["", _diagnoses_table(last)]
    return Group(*parts)


def _is_map(value: object) -> bool:
    return isinstance(value, Mapping)


def _head(report: Report) -> Text:
    agent = part(report, "agent")
    clock = "" if agent.get("clock_trusted", True) else "   the clock is not trusted"
    revision = agent.get("revision")
    return Text.assemble(
        (str(agent.get("id", "edge-agent")), "bold"),
        f"  edge-agent {agent.get('version', '?')}, up {duration(agent.get('uptime_s'))}",
        f", settings revision {revision}" if revision else "",
        (clock, "yellow"),
    )


def _broker(report: Report) -> Text:
    mqtt = part(report, "mqtt")
    since = _clock(mqtt.get("since"))
    if mqtt.get("connected"):
        text = Text.assemble(("connected", "green"), f" since {since}, MQTT {mqtt.get('protocol')}")
    else:
        text = Text.assemble(
            ("not connected", "bold red"),
            f" since {since}" if since else "",
            f": {mqtt.get('last_error') or 'not tried yet'}; results wait in the queue",
        )
    refused = mqtt.get("refused_filters") or ()
    if refused:
        text.append(f"\nthe broker refuses: {', '.join(map(str, refused))}", "red")
    return text


def _machines(report: Report) -> str:
    counts = machines_by_state(report)
    if not counts:
        return "none yet: no telemetry has arrived"
    names = {"open": "with an incident", "quiet": "normal", "cooling": "calming down"}
    urgent = ("open", "cooling", "learning", "quiet")
    ordered = sorted(counts, key=lambda state: (*urgent, state).index(state))
    return ", ".join(f"{counts[state]} {names.get(state, state)}" for state in ordered)


def _queue(report: Report) -> str:
    jobs, outbox = part(part(report, "store"), "jobs"), part(part(report, "store"), "outbox")
    busy = [f"{jobs[one]} {one}" for one in ("queued", "running", "quarantined") if jobs.get(one)]
    text = f"jobs: {', '.join(busy) or 'none'}; messages: {outbox.get('waiting', 0)} to be sent"
    if outbox.get("parked"):
        text += f", {outbox['parked']} refused by the broker and parked"
    if outbox.get("shed"):
        text += f", {outbox['shed']} shed for room"
    return text


def _model(report: Report) -> str:
    worker = part(report, "worker")
    reason = f": {worker['reason']}" if worker.get("reason") else ""
    loaded = f", {worker['rss_mb']:.0f} MB" if worker.get("rss_mb") else ""
    return f"{worker.get('model', '?')}, {worker.get('state', '?')}{reason}{loaded}"


def _power(report: Report) -> str:
    governor = part(report, "governor")
    how = "measured" if governor.get("watts_measured") else "estimated"
    average = within(governor.get("average_watts"), governor.get("budget_watts"), "W", 1)
    now = governor.get("watts")
    return average if now is None else f"{now:.1f} W now, {how}; average {average}"


def _memory(report: Report) -> str:
    governor = part(report, "governor")
    daemon, worker = governor.get("daemon_mb"), governor.get("worker_mb")
    both = None if daemon is None else daemon + (worker or 0.0)
    text = within(both, governor.get("memory_budget_mb"), "MB", 0)
    left = governor.get("host_available_mb")
    return text if left is None else f"{text}; the host has {left:.0f} MB left"


def _heat(report: Report) -> str:
    governor = part(report, "governor")
    hottest, left = governor.get("hottest_c"), governor.get("headroom_c")
    if hottest is None:
        return "no sensor found"
    return f"{hottest:.0f} °C" + ("" if left is None else f", {left:.0f} degrees to the limit")


def _alarms(report: Report) -> list[str]:
    found = [*(part(report, "governor").get("alarms") or ())]
    found += part(report, "store").get("alarms") or ()
    refusals = part(part(report, "publisher"), "alarms")
    found += [f"{topic}: {reason}" for topic, reason in refusals.items()]
    return [str(one) for one in found]


def _equipment_table(equipment: Mapping[str, Report]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("machine", "state", "learned", "signals", "score", "incident"):
        right = name in ("learned", "signals", "score")
        table.add_column(name, justify="right" if right else "left", overflow="fold")

    def urgency(item: tuple[str, Report]) -> tuple[bool, float, str]:
        return (not item[1].get("incident_id"), -float(item[1].get("score") or 0), item[0])

    for name, one in sorted(equipment.items(), key=urgency)[:MACHINES_SHOWN]:
        style = "red" if one.get("incident_id") else ""
        table.add_row(
            escape(name),
            str(one.get("state", "?")),
            f"{100 * float(one.get('learned') or 0):.0f} %",
            str(one.get("signals", "")),
            f"{float(one.get('score') or 0):.2f}",
            escape(str(one.get("incident_id") or "")),
            style=style,
        )
    if len(equipment) > MACHINES_SHOWN:
        table.add_row(f"… and {len(equipment) - MACHINES_SHOWN} more", style="dim")
    return table


def _diagnoses_table(last: Sequence[Report]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("diagnosed at", "machine", "fault", "p", "by", "s"):
        table.add_column(name, justify="right" if name in ("p", "s") else "left", overflow="fold")
    for one in list(reversed(last))[:DIAGNOSES_SHOWN]:
        fault, cost = part(one, "fault"), part(one, "cost")
        probability = fault.get("probability")
        table.add_row(
            str(one.get("created_at", ""))[:19].replace("T", " "),
            escape(str(one.get("equipment", ""))),
            escape(str(fault.get("title") or one.get("verdict", ""))),
            "" if probability is None else f"{probability:.2f}",
            str(one.get("source", "")),
            f"{cost.get('seconds', 0.0):.1f}",
        )
    return table


def _clock(at: float | None) -> str:
    """Unix seconds as local date and time."""
    if at is None:
        return ""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
