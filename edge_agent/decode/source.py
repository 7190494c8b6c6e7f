"""One source of the settings, compiled: everything that can be decided before a message comes."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from edge_agent.config.telemetry import SourceSection
from edge_agent.decode.name import name_fault, shown
from edge_agent.decode.sparkplug import SparkplugHost
from edge_agent.decode.timestamp import Clock, time_reader
from edge_agent.decode.topic import NAME, TopicTemplate
from edge_agent.errors import BadConfig, BadPayload

SPARKPLUG_NAME = "{group}.{node}.{device}"
"""Machines of Sparkplug where the settings name them no other way."""


class Source:
    """A ``SourceSection`` ready for use. Raises ``BadConfig`` where it cannot work."""

    def __init__(self, section: SourceSection) -> None:
        self.section = section
        try:
            self.template = TopicTemplate.parse(section.topic)
        except ValueError as error:
            raise BadConfig(f"telemetry.sources: topic: {error}") from None
        self.values = _path(section.values)
        self.time = _path(section.time) if section.time else None
        self.name = _path(section.name) if section.name else None
        self.value = _path(section.value) if section.value else None
        self.equipment_from = _path(section.equipment_from) if section.equipment_from else None
        self.as_text = frozenset(
            {section.time, section.name, section.equipment_from} - {None, section.value}
        )
        """Columns of CSV that are no numbers, whatever they look like."""
        self.read_time: Clock = time_reader(section.time_format, section.time_zone)
        own = (section.time, section.equipment_from)
        self.left_out = frozenset((*section.ignore, *(path for path in own if path is not None)))
        """Keys of the payload that are no signals."""
        self.ignored_payloads = frozenset(text.encode() for text in section.ignore_payloads)
        self.longest_ignored = max(map(len, self.ignored_payloads), default=0)
        signal_known = section.signal is not None or "signal" in self.template.names.values()
        self.number = (self.value or ("value",)) if signal_known else None
        """Path to the number in an object, where topic or settings name its one signal."""
        special = (
            self.values,
            self.name,
            self.equipment_from,
            None if signal_known else self.value,
        )
        self.flat = not any(special) and (self.time is None or self.time[0] != "$user")
        """Whether the payload itself is the object of signals, or of the one signal."""
        sparkplug = section.format == "sparkplug"
        self.host = SparkplugHost(section.equipment or SPARKPLUG_NAME) if sparkplug else None
        self._check()

    def _check(self) -> None:
        where = f"telemetry.sources: {self.section.topic!r}"
        named = set(self.template.names.values())
        if self.host is not None:
            if not self.section.topic.startswith("spBv1.0/") or not self.template.rest:
                raise BadConfig(f"{where}: a Sparkplug topic is spBv1.0/# or spBv1.0/GROUP/#")
            named |= {"group", "node", "device", "equipment"}
        named_by = (self.section.equipment, self.section.equipment_from)
        if named_by == (None, None) and "equipment" not in named:
            raise BadConfig(
                f"{where}: put {{equipment}} into the topic, or set equipment or equipment_from"
            )
        for text in filter(None, (self.section.equipment, self.section.signal)):
            unknown = set(NAME.findall(text)) - named
            if unknown:
                raise BadConfig(f"{where}: {{{min(unknown)}}} in {text!r} is not in the topic")
        if self.name is not None and self.value is None:
            raise BadConfig(f"{where}: name needs value: where the number stands beside the name")

    def lane_of(self, topic: str) -> str:
        """Whose messages come on a topic that names no machine."""
        levels = topic.split("/", 4)
        return "/".join(levels[1:4:2]) if self.host is not None else topic

    def names(self, levels: Sequence[str]) -> tuple[str | None, str | None]:
        """Equipment and signal, each where topic or settings tell it. Raises ``BadPayload`` for a
        name that cannot be used."""
        if self.host is not None:
            return None, None
        captured = self.template.captured(levels)
        equipment: str | None = None
        if self.section.equipment is not None:
            equipment = _filled(self.section.equipment, captured)
        elif self.equipment_from is None:
            equipment = captured["equipment"]
        signal: str | None = None
        if self.section.signal is not None:
            signal = _filled(self.section.signal, captured)
        elif "signal" in captured:
            signal = captured["signal"]
        if signal is not None:
            signal = self.section.rename.get(signal, signal)
        for what, name in (("equipment", equipment), ("signal", signal)):
            fault = None if name is None else name_fault(name)
            if fault:
                raise BadPayload(f"{what} name {shown(name or '')} from the topic {fault}")
        return equipment and sys.intern(equipment), signal and sys.intern(signal)


def _filled(text: str, captured: dict[str, str]) -> str:
    return re.sub(NAME, lambda found: captured[found[1]], text)


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(dotted.split(".")) if dotted else ()
