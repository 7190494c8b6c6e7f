"""Messages → readings, by the settings. No clock, thread or I/O; state only where a message must
be judged by those before it, and that is bounded."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edge_agent.config.telemetry import TelemetrySection
from edge_agent.decode.census import Census
from edge_agent.decode.name import described, name_fault, shown
from edge_agent.decode.route import Route
from edge_agent.decode.sample import Sample, samples
from edge_agent.decode.source import Source
from edge_agent.decode.topic import TopicTree
from edge_agent.decode.tree import inside, json_tree
from edge_agent.decode.value import number, parse_number
from edge_agent.errors import BadPayload
from edge_agent.telemetry import Message, Quality, Reading

ROUTES = 200_000
"""Topics remembered at once; past that all are forgotten and found again."""


@dataclass(slots=True)
class DecodeCounts:
    """What became of messages and values since the start."""

    ignored: int = 0
    """Payloads that are no telemetry by the settings, and messages of our own."""
    skipped: int = 0
    """Values that are no number."""
    bad_names: int = 0
    """Values of signals whose names cannot be used."""


class Decoder:
    """Decodes the messages of the configured sources.

    ``own_prefix``: topics below it are our own results and never telemetry. ``filters``: what to
    subscribe to, (filter, QoS). Raises ``BadConfig`` for settings that cannot work.
    """

    def __init__(self, settings: TelemetrySection, own_prefix: str) -> None:
        self._own = own_prefix.rstrip("/") + "/"
        self._sources = [Source(section) for section in settings.sources]
        self._topics = TopicTree([source.template for source in self._sources])
        self._max_kb = settings.max_payload_kb
        self._limits = settings.late_s, settings.future_s
        self._routes: dict[str, Route] = {}
        self.census = Census(settings.max_equipment, settings.max_signals)
        self.counts = DecodeCounts()
        share = f"$share/{settings.share_group}/" if settings.share_group else ""
        wanted = {share + source.template.filter: source.section.qos for source in self._sources}
        self.filters: tuple[tuple[str, int], ...] = tuple(wanted.items())

    def decode(self, message: Message) -> list[Reading]:
        """The readings in ``message``, none where it is ignored by the settings. Raises
        ``BadPayload``, whatever the bytes are, and nothing else."""
        route = self._routes.get(message.topic)
        if route is not None:
            return self._read(route, message)
        if message.topic.startswith(self._own):
            self.counts.ignored += 1
            return []
        route = self._find(message.topic)
        readings = self._read(route, message)
        if readings:
            if len(self._routes) >= ROUTES:
                self._routes.clear()
            self._routes[message.topic] = route
        return readings

    def _find(self, topic: str) -> Route:
        """The route of a topic that is not remembered."""
        levels = topic.split("/")
        which = self._topics.first(levels)
        if which is None:
            raise BadPayload(f"no telemetry.sources entry matches the topic {shown(topic, 200)}")
        source = self._sources[which]
        return Route(source, *source.names(levels))

    def _read(self, route: Route, message: Message) -> list[Reading]:
        payload = message.payload
        source = route.source
        if len(payload) > self._max_kb * 1024:
            raise BadPayload(
                f"{len(payload)} bytes, more than telemetry.max_payload_kb = {self._max_kb} allows"
            )
        if len(payload) <= source.longest_ignored and payload.strip() in source.ignored_payloads:
            self.counts.ignored += 1
            return []
        if source.section.format == "plain":
            return self._take(route, [_plain(source, payload)], message)
        tree = json_tree(payload)
        route.begin(payload)
        if source.flat and type(tree) is dict:
            return self._flat(route, tree, message)
        return self._take(route, samples(source, tree), message)

    def _flat(self, route: Route, tree: dict[str, Any], message: Message) -> list[Reading]:
        """One object of signals: the usual case, and the fast one."""
        path = route.source.time
        if path is None:
            stamp = None
        else:
            stamp = tree.get(path[0]) if len(path) == 1 else inside(tree, path)
        at, quality = route.moment(stamp, message, self._limits)
        names = route.names
        equipment = route.equipment
        readings: list[Reading] = []
        for key, value in tree.items():
            name = names.get(key)
            if name and type(value) is float and value - value == 0.0:
                readings.append(Reading(equipment, name, value, at, quality))
            elif name == "":
                continue
            elif type(value) is dict:
                return self._take(route, samples(route.source, tree), message)
            else:
                self._value(route, key, value, (at, quality), readings)
        if not readings:
            self._explain_nothing(route, [Sample(key, value) for key, value in tree.items()])
        return readings

    def _take(self, route: Route, found: Iterable[Sample], message: Message) -> list[Reading]:
        """Samples → readings."""
        readings: list[Reading] = []
        unread: list[Sample] = []
        for sample in found:
            key = sample.key if sample.key is not None else route.signal
            if key is None:
                raise BadPayload(
                    "a value without a name: put {signal} into the source's topic, or set signal"
                )
            own = key if sample.own_time and route.names.get(key) else None
            when = route.moment(sample.stamp, message, self._limits, own)
            before = len(readings)
            self._value(route, key, sample.value, when, readings)
            if len(readings) == before and len(unread) < 10:
                unread.append(sample)
        if not readings:
            self._explain_nothing(route, unread)
        return readings

    def _value(
        self,
        route: Route,
        key: str,
        value: object,
        when: tuple[float, Quality],
        readings: list[Reading],
    ) -> None:
        """Any value of any type: append its reading, or count why there is none."""
        section = route.source.section
        found = number(value, section.words, in_strings=section.numbers_in_strings)
        name = route.names.get(key)
        if name == "":
            return
        if found is None:
            self.counts.skipped += 1
            return
        if name is None:
            name = self._name(route, key)
            if not name:
                return
        at, quality = when
        if not math.isfinite(found):
            quality = Quality.OUT_OF_RANGE
        readings.append(Reading(route.equipment, name, found, at, quality))

    def _name(self, route: Route, key: str) -> str:
        """The reading's name for a key of the payload; empty where it is to be left out."""
        source = route.source
        if key in source.left_out:
            route.names[key] = ""
            return ""
        name = key if key == route.signal else source.section.rename.get(key, key)
        if name_fault(name):
            self.counts.bad_names += 1
            return ""
        if not self.census.admit(route.equipment, name):
            return ""
        route.names[key] = name
        return name

    def _explain_nothing(self, route: Route, unread: list[Sample]) -> None:
        """Raise ``BadPayload`` where a message gave no reading for a reason that its sender can
        remove. Nulls, ignored keys and signals past a cap are no such reason."""
        rename = route.source.section.rename
        for key, value, *_ in unread:
            if key is None or key in route.source.left_out or value is None:
                continue
            fault = name_fault(rename.get(key, key))
            if fault:
                raise BadPayload(f"signal name {shown(key)} {fault}")
            if not isinstance(value, int | float):
                raise BadPayload(f"signal {shown(key)} is no number but {described(value)}")
        if not unread:
            raise BadPayload("no signal in it")


def _plain(source: Source, payload: bytes) -> Sample:
    """A bare number with or without a unit."""
    text = payload[:2000].decode("utf-8", "replace")
    value = source.section.words.get(text.strip())
    if value is None:
        value = parse_number(text)
    if value is None:
        raise BadPayload(f"{shown(text)} is no number")
    return Sample(None, value)
