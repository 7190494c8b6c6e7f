"""What was seen on a broker → settings and equipment cards for the engineer to edit. Pure.

Topics are grouped by their shape; which level names the machine and which the signal follows from
what varies: with several numbers in a payload the keys are the signals, with one number the last
level is. Home Assistant discovery and thin-edge.io say it outright, with units.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_agent.config.telemetry import SourceSection, TelemetrySection
from edge_agent.config.toml_text import key, quoted
from edge_agent.decode.decoder import Decoder
from edge_agent.decode.discovery import Discovery, Seen, SeenSignal
from edge_agent.decode.name import name_fault
from edge_agent.errors import BadConfig, BadPayload

KINDS = frozenset({"telemetry", "state", "status", "data", "values", "measurements", "readings"})
KINDS |= {"measurement", "sensor", "sensors", "json", "rx", "up", "event", "events", "metrics"}
"""Last levels that name neither machine nor signal."""

WORD_VALUE = re.compile(r"value_json\.([A-Za-z0-9_.]+)|value_json\[['\"]([^'\"]+)['\"]\]")


@dataclass(slots=True)
class DraftCard:
    """One machine: signal → what was seen of it."""

    equipment: str
    signals: dict[str, SeenSignal] = field(default_factory=dict)
    period_s: float | None = None


@dataclass(slots=True)
class Draft:
    """``sources``: for the settings; ``unread``: topic → why nothing can be read there."""

    sources: list[SourceSection]
    cards: dict[str, DraftCard]
    unread: dict[str, str]


def draft(discovery: Discovery) -> Draft:
    """Settings that read as much as possible of what was seen, checked by decoding one message of
    each topic with them."""
    groups: dict[tuple[object, ...], list[Seen]] = {}
    unread: dict[str, str] = {}
    for seen in discovery.topics.values():
        if seen.form is None:
            unread[seen.topic] = seen.fault or "no payload that can be read"
        elif seen.form not in ("influx", "senml", "sparkplug") and not seen.signals:
            unread[seen.topic] = "no number in it"
        else:
            groups.setdefault(_shape(seen), []).append(seen)
    sources = [source for group in groups.values() for source in _sources(group)]
    return Draft(sources, _cards(discovery, sources, unread), unread)


def _shape(seen: Seen) -> tuple[object, ...]:
    levels = seen.topic.split("/")
    if seen.form == "sparkplug":
        return ("sparkplug",)
    return (
        levels[0],
        len(levels),
        seen.form,
        seen.time,
        seen.time_format,
        _single(seen),
        _tail(seen),
    )


def _single(seen: Seen) -> bool:
    """Whether the topic itself stands for one signal."""
    return seen.form == "plain" or set(seen.signals) <= {"", "value"}


def _tail(seen: Seen) -> str:
    """The last level, where it only says what kind of message it is: part of the shape."""
    last = seen.topic.rpartition("/")[2]
    return last if not _single(seen) and last.lower() in KINDS else ""


def _sources(group: Sequence[Seen]) -> list[SourceSection]:
    first = group[0]
    if first.form == "sparkplug":
        return [SourceSection(topic="spBv1.0/#", format="sparkplug")]
    topics = [seen.topic.split("/") for seen in group]
    single = _single(first)
    options: dict[str, Any] = {"format": first.form, "time": first.time}
    if first.time_format is not None:
        options["time_format"] = first.time_format
    if first.topic.startswith("te/") and len(topics[0]) == 7:
        return [SourceSection(topic="te/_/{equipment}/_/_/m/_", **options)]
    last = len(topics[0]) - 1
    words = [levels[0] if len(set(levels)) == 1 else "_" for levels in zip(*topics, strict=True)]
    machine = last - 1 if single else _machine_level(words)
    if single:
        words[last] = "{signal}"
    if machine < 0:
        options["equipment"] = "machine"
    else:
        words[machine] = "{equipment}"
    try:
        source = SourceSection(topic="/".join(words), **options)
        Decoder(TelemetrySection(sources=(source,)), "edge")
    except (BadConfig, ValueError):
        return []
    return [source]


def _machine_level(words: Sequence[str]) -> int:
    """The last level that varies; where none does, the last that is more than a kind of message."""
    varying = [index for index, word in enumerate(words) if word == "_"]
    if varying:
        return varying[-1]
    return len(words) - 2 if len(words) > 1 and words[-1].lower() in KINDS else len(words) - 1


def _cards(
    discovery: Discovery, sources: Sequence[SourceSection], unread: dict[str, str]
) -> dict[str, DraftCard]:
    """Machines as the drafted settings see them; topics that they cannot read go to ``unread``."""
    units = _units(discovery)
    cards: dict[str, DraftCard] = {}
    telemetry = TelemetrySection(sources=tuple(sources), max_equipment=10_000, max_signals=1_000)
    decoder = Decoder(telemetry, "edge")
    for seen in discovery.topics.values():
        if seen.sample is None or seen.topic in unread:
            continue
        try:
            readings = decoder.decode(seen.sample)
        except BadPayload as error:
            unread[seen.topic] = str(error)
            continue
        for reading in readings:
            card = cards.setdefault(reading.equipment, DraftCard(reading.equipment))
            found = seen.signals.get(reading.signal) or seen.signals.get("value")
            found = found or seen.signals.get("") or SeenSignal()
            unit = units.get((seen.topic, reading.signal)) or units.get((seen.topic, ""))
            found.unit = unit or found.unit
            if not name_fault(reading.signal):
                card.signals[reading.signal] = found
            if seen.period_s is not None:
                card.period_s = seen.period_s
    return cards


def _units(discovery: Discovery) -> dict[tuple[str, str], str]:
    """(topic, key of the payload or empty) → unit, as descriptions tell them."""
    units: dict[tuple[str, str], str] = {}
    for topic, told in discovery.described.items():
        if topic.startswith("te/"):
            measured = topic.removesuffix("/meta")
            named = told.get("units", told)
            for key, content in named.items() if isinstance(named, dict) else ():
                unit = content.get("unit") if isinstance(content, dict) else content
                if isinstance(unit, str):
                    units[measured, str(key)] = unit
            continue
        state, unit = told.get("state_topic", told.get("stat_t")), told.get("unit_of_measurement")
        unit = unit if unit is not None else told.get("unit_of_meas")
        if isinstance(state, str) and isinstance(unit, str):
            base = told.get("~")
            state = state.replace("~", base) if isinstance(base, str) else state
            found = WORD_VALUE.search(str(told.get("value_template", told.get("val_tpl", ""))))
            units[state, (found[1] or found[2]) if found else ""] = unit
    return units


def settings_toml(drafted: Draft) -> str:
    """The ``[[telemetry.sources]]`` of a settings file."""
    lines = ["# Drafted by `edge-agent discover`: read it over, then put it into the settings.", ""]
    for source in drafted.sources:
        lines.append("[[telemetry.sources]]")
        for name, value in source.model_dump(exclude_defaults=True).items():
            lines.append(f"{name} = {quoted(str(value))}")
        lines.append("")
    for topic, reason in drafted.unread.items():
        lines.append(f"# not read: {ascii(topic)[1:-1]}: {ascii(reason)[1:-1]}")
    return "\n".join(lines) + "\n"


def card_toml(card: DraftCard) -> str:
    """An equipment card with what was seen; meanings and faults are the engineer's to add."""
    lines = [
        "# Drafted by `edge-agent discover`: add meanings, and the faults that can happen.",
        f"equipment = {quoted(card.equipment)}",
        'title = ""',
    ]
    if card.period_s:
        lines.append(f"sample_period_s = {max(card.period_s, 0.001):.3g}")
    for name, signal in card.signals.items():
        lines += ["", f"[signals.{key(name)}]", f"unit = {quoted((signal.unit or '')[:32])}"]
        if signal.count:
            lines.append(f'meaning = "seen from {signal.low:.6g} to {signal.high:.6g}"')
    return "\n".join(lines) + "\n"
