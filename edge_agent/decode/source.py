"""One source of the settings, compiled: everything that can be decided before a message comes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edge_agent.config.telemetry import SourceSection
from edge_agent.decode.name import name_fault, shown
from edge_agent.decode.timestamp import Clock, time_reader
from edge_agent.decode.topic import NAME, TopicTemplate
from edge_agent.errors import BadConfig, BadPayload


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
        self.read_time: Clock = time_reader(section.time_format, section.time_zone)
        self.left_out = frozenset(section.ignore) | ({section.time} if section.time else set())
        """Keys of the payload that are no signals."""
        self.ignored_payloads = frozenset(text.encode() for text in section.ignore_payloads)
        self.longest_ignored = max(map(len, self.ignored_payloads), default=0)
        self.flat = not self.values and self.name is None and self.value is None
        """Whether the payload itself is the object of signals."""
        self._check()

    def _check(self) -> None:
        where = f"telemetry.sources: {self.section.topic!r}"
        named = set(self.template.names.values())
        if self.section.equipment is None and "equipment" not in named:
            raise BadConfig(f"{where}: put {{equipment}} into the topic, or set equipment")
        for text in filter(None, (self.section.equipment, self.section.signal)):
            unknown = set(NAME.findall(text)) - named
            if unknown:
                raise BadConfig(f"{where}: {{{min(unknown)}}} in {text!r} is not in the topic")
        if self.name is not None and self.value is None:
            raise BadConfig(f"{where}: name needs value: where the number stands beside the name")

    def names(self, levels: Sequence[str]) -> tuple[str, str | None]:
        """Equipment and signal (where topic or settings tell it) of a topic. Raises
        ``BadPayload`` for a name that cannot be used."""
        captured = self.template.captured(levels)
        equipment = _filled(self.section.equipment or "{equipment}", captured)
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
        return equipment, signal


def _filled(text: str, captured: dict[str, str]) -> str:
    return re.sub(NAME, lambda found: captured[found[1]], text)


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(dotted.split(".")) if dotted else ()
