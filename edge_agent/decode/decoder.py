"""Messages → readings, by the settings. No clock, thread or I/O; state only where a message must
be judged by those before it, and that is bounded."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from edge_agent.config.telemetry import SourceSection, TelemetrySection
from edge_agent.decode.census import Census
from edge_agent.decode.formats import format_of, read, unpacked
from edge_agent.decode.name import described, name_fault, shown
from edge_agent.decode.part import Part
from edge_agent.decode.route import Route
from edge_agent.decode.rows import samples
from edge_agent.decode.sample import Sample
from edge_agent.decode.source import Source
from edge_agent.decode.topic import TopicTree
from edge_agent.decode.tree import inside, json_tree
from edge_agent.decode.unit import Line, conversion
from edge_agent.decode.value import number, reduced
from edge_agent.domain.outgoing import Outgoing
from edge_agent.domain.telemetry import Message, Quality, Reading
from edge_agent.errors import BadConfig, BadPayload

WORST = 5
"""Machines named in the report for their clock."""

UNREAD = 10
"""Values that are no number, kept for whoever asks what became of a message."""

ROUTES = 200_000
"""Topics remembered at once; past that all are forgotten and found again."""


def _no_unit(equipment: str, signal: str) -> str | None:  # noqa: ARG001 - no card, no unit
    return None


@dataclass(slots=True)
class DecodeCounts:
    """What became of messages and values since the start."""

    ignored: int = 0
    """Payloads that are no telemetry by the settings, and messages of our own."""
    skipped: int = 0
    """Values that are no number."""
    bad_names: int = 0
    """Values of signals whose names cannot be used."""
    elsewhere: int = 0
    """Messages, or values, of machines in another agent's part."""


class Decoder:
    """Decodes the messages of the configured sources.

    ``own_prefix``: topics below it are our own results and never telemetry. ``unit_of``: the
    card's unit of a signal of a machine, None where no card knows it. ``filters``: what to
    subscribe to, (filter, QoS). Raises ``BadConfig`` for settings that cannot work.
    """

    def __init__(
        self,
        settings: TelemetrySection,
        own_prefix: str,
        unit_of: Callable[[str, str], str | None] = _no_unit,
    ) -> None:
        self._own = own_prefix.rstrip("/") + "/"
        self._unit_of = unit_of
        self._sources = [Source(section) for section in settings.sources]
        self._topics = TopicTree([source.template for source in self._sources])
        self._longest = settings.max_payload_kb * 1024
        self._limits = settings.late_s, settings.future_s
        self._routes: dict[str, Route] = {}
        self._part = Part.parse(settings.share_part) if settings.share_part else None
        self._elsewhere: set[str] = set()
        """Topics of machines in another agent's part."""
        self.census = Census(settings.max_equipment, settings.max_signals)
        self.counts = DecodeCounts()
        self.unread: deque[tuple[str, object]] = deque(maxlen=UNREAD)
        """The latest values that are no number, with the keys that they stood under."""
        share = f"$share/{settings.share_group}/" if settings.share_group else ""
        wanted = {share + source.template.filter: source.section.qos for source in self._sources}
        self.filters: tuple[tuple[str, int], ...] = tuple(wanted.items())

    def decode(self, message: Message) -> list[Reading]:
        """The readings in ``message``, none where it is ignored by the settings. Raises
        ``BadPayload``, whatever the bytes are, and nothing else."""
        route = self._routes.get(message.topic)
        if route is not None:
            return self._read(route, message)
        if message.topic in self._elsewhere:
            self.counts.elsewhere += 1
            return []
        if message.topic.startswith(self._own):
            self.counts.ignored += 1
            return []
        route = self._find(message.topic)
        if not self._ours(route, message.topic):
            self.counts.elsewhere += 1
            return []
        readings = self._read(route, message)
        if readings:
            if len(self._routes) >= ROUTES:
                self._routes.clear()
            self._routes[message.topic] = route
        return readings

    def source_of(self, topic: str) -> tuple[int, SourceSection | None]:
        """Which source a topic belongs to: its number in the settings from 1, or 0 and None."""
        which = self._topics.first(topic.split("/"))
        return (0, None) if which is None else (which + 1, self._sources[which].section)

    def lane_of(self, topic: str) -> str:
        """Whose messages a topic carries, as far as it tells: a machine, a Sparkplug node whose
        messages must keep their order, or the topic itself. Safe in any thread, never raises."""
        route = self._routes.get(topic)
        if route is None:
            if topic in self._elsewhere:
                return ""
            try:
                route = self._find(topic)
            except BadPayload:
                return ""
        return route.equipment or route.source.lane_of(topic)

    def news(self) -> list[str]:
        """What an operator should hear once, such as a cap that was reached; empties the list."""
        return self.census.news()

    def report(self) -> dict[str, Any]:
        """For the health report: what was left out and why, what is known, and the machines whose
        clock is furthest from ours (seconds that their newest reading lay behind its arrival)."""
        machines, signals = self.census.counts()
        skews: dict[str, float] = {}
        for route in list(self._routes.values()):
            if route.equipment and abs(route.skew) > abs(skews.get(route.equipment, 0.0)):
                skews[route.equipment] = round(route.skew, 3)
        furthest = sorted(skews, key=lambda name: -abs(skews[name]))[:WORST]
        hosts = [source.host for source in self._sources if source.host is not None]
        return {
            "machines": machines,
            "signals": signals,
            "over_equipment": self.census.over_equipment,
            "over_signals": self.census.over_signals,
            **asdict(self.counts),
            "unread_metrics": sum(host.unread for host in hosts),
            "unborn": sum(host.unborn for host in hosts),
            "gaps": sum(host.gaps for host in hosts),
            "skew_s": {name: skews[name] for name in furthest},
        }

    def requests(self) -> list[Outgoing]:
        """What is to be published to sources: Sparkplug rebirth requests; empties the list."""
        hosts = [source.host for source in self._sources if source.host is not None]
        return [request for host in hosts for request in host.requests()]

    def _find(self, topic: str) -> Route:
        """The route of a topic that is not remembered."""
        levels = topic.split("/")
        which = self._topics.first(levels)
        if which is None:
            raise BadPayload(f"no telemetry.sources entry matches the topic {shown(topic, 200)}")
        source = self._sources[which]
        return Route(source, *source.names(levels))

    def _ours(self, route: Route, topic: str) -> bool:
        """Whether the machine of a topic is in our part; a topic whose payloads name machines is
        everybody's."""
        name = route.equipment
        if not name and route.source.host is not None:
            name = route.source.lane_of(topic)
        if self._part is None or not name or self._part.holds(name):
            return True
        if len(self._elsewhere) >= ROUTES:
            self._elsewhere.clear()
        self._elsewhere.add(topic)
        return False

    def _read(self, route: Route, message: Message) -> list[Reading]:
        source = route.source
        payload = message.payload
        if len(payload) > self._longest:
            raise BadPayload(
                f"{len(payload)} bytes, more than telemetry.max_payload_kb = "
                f"{self._longest // 1024} allows"
            )
        if len(payload) <= source.longest_ignored and payload.strip() in source.ignored_payloads:
            self.counts.ignored += 1
            return []
        payload = unpacked(source, message, self._longest)
        form = format_of(source, message)
        route.begin(payload)
        if source.host is not None:
            found = source.host.take(message, payload)
            return self._take(route, found, message) if found else []
        if form == "json" and source.flat:
            tree = json_tree(payload)
            if type(tree) is dict:
                return (self._flat if route.signal is None else self._one)(route, tree, message)
            return self._take(route, samples(source, tree, {}), message)
        return self._take(route, read(source, message, payload, form), message)

    def _one(self, route: Route, tree: dict[str, Any], message: Message) -> list[Reading]:
        """An object around the one signal that the topic names."""
        at, quality = self._moment(route, tree, message)
        path = route.source.number or ()
        value = tree.get(path[0]) if len(path) == 1 else inside(tree, path)
        key = route.signal or ""
        name = route.only
        if name and type(value) is float and value - value == 0.0:
            return [Reading(route.equipment, name, value, at, quality)]
        if value is None and len(path) == 1 and path[0] not in tree:
            raise BadPayload(
                f"no {shown(path[0])} in the object: set value to the key of the number"
            )
        readings: list[Reading] = []
        self._value(route, key, Sample(key, value), (at, quality), readings)
        if not readings:
            self._explain_nothing(route, [Sample(key, value)])
        return readings

    def _moment(
        self, route: Route, tree: dict[str, Any], message: Message
    ) -> tuple[float, Quality]:
        """Time and quality of everything in one flat object."""
        path = route.source.time
        stamp = None
        if path is not None:
            stamp = tree.get(path[0]) if len(path) == 1 else inside(tree, path)
        return route.moment(stamp, message, self._limits)

    def _flat(self, route: Route, tree: dict[str, Any], message: Message) -> list[Reading]:
        """One object of signals: the usual case, and the fast one."""
        at, quality = self._moment(route, tree, message)
        names = route.names
        equipment = route.equipment
        readings: list[Reading] = []
        skipped = self.counts.skipped
        for key, value in tree.items():
            name = names.get(key)
            if name and type(value) is float and value - value == 0.0:
                readings.append(Reading(equipment, name, value, at, quality))
            elif name == "":
                continue
            elif type(value) is dict:
                self.counts.skipped = skipped  # they are met again
                return self._take(route, samples(route.source, tree, {}), message)
            else:
                self._value(route, key, Sample(key, value), (at, quality), readings)
        if not readings:
            self._explain_nothing(route, [Sample(key, value) for key, value in tree.items()])
        return readings

    def _take(self, route: Route, found: Iterable[Sample], message: Message) -> list[Reading]:
        """Samples → readings."""
        readings: list[Reading] = []
        unread: list[Sample] = []
        part = self._part if route.source.host is None else None
        elsewhere = self.counts.elsewhere
        for sample in found:
            if (
                part is not None
                and sample.equipment is not None
                and not part.holds(sample.equipment)
            ):
                self.counts.elsewhere += 1
                continue
            machine = route if sample.equipment is None else self._machine(route, sample.equipment)
            if not machine.equipment:
                raise BadPayload("no machine's name: this format has none where it is looked for")
            key = sample.key if sample.key is not None else machine.signal
            if key is None:
                raise BadPayload(
                    "a value without a name: put {signal} into the source's topic, or set signal"
                )
            when = machine.moment(
                sample.stamp,
                message,
                self._limits,
                at=sample.at,
                signal=key if sample.own_time and machine.knows(key) else None,
            )
            before = len(readings)
            self._value(machine, key, sample, when, readings)
            if len(readings) == before and len(unread) < 10:
                unread.append(sample)
        if not readings and self.counts.elsewhere == elsewhere:
            self._explain_nothing(route, unread)
        return readings

    def _machine(self, route: Route, equipment: str) -> Route:
        """The route of a machine that is named by the payload."""
        if route.machines is None:
            route.machines = {}
        known = route.machines.get(equipment)
        if known is None:
            fault = name_fault(equipment)
            if fault:
                raise BadPayload(f"equipment name {shown(equipment)} {fault}")
            known = Route(route.source, equipment, route.signal)
            if self.census.knows(equipment):
                route.machines[equipment] = known
        return known

    def _value(
        self,
        route: Route,
        key: str,
        sample: Sample,
        when: tuple[float, Quality],
        readings: list[Reading],
    ) -> None:
        """Any value of any type: append its reading, or count why there is none."""
        section = route.source.section
        name = route.name_of(key)
        if name == "":
            return
        if type(sample.value) is list and section.arrays != "refuse":
            found = reduced(sample.value, section.arrays)
        else:
            found = number(sample.value, section.words, in_strings=section.numbers_in_strings)
        if found is None:
            self.counts.skipped += 1
            self.unread.append((key, sample.value))
            return
        if name is None:
            name = self._name(route, key, sample.unit)
            if not name:
                return
            line = route.conversion(key)
            if line is not None:
                found = line[1].factor * found + line[1].offset
        at, quality = when
        if not math.isfinite(found):
            quality = Quality.OUT_OF_RANGE
        elif sample.quality is not None and quality is Quality.GOOD:
            quality = sample.quality
        readings.append(Reading(route.equipment, name, found, at, quality))

    def _name(self, route: Route, key: str, unit: str | None) -> str:
        """The reading's name for a key of the payload; empty where it is to be left out."""
        known = route.conversion(key)
        if known is not None:
            return known[0]
        source = route.source
        if key in source.left_out and key != route.signal:
            route.admit(key, "")
            return ""
        name = sys.intern(key if key == route.signal else source.section.rename.get(key, key))
        if name_fault(name):
            self.counts.bad_names += 1
            return ""
        if not self.census.admit(route.equipment, name):
            return ""
        try:
            line = self._conversion(route, name, unit)
        except BadConfig as error:
            self.census.tell(f"{route.equipment} {name}", f"{name} is left out: unit {error}")
            route.admit(key, "")
            return ""
        if line is None:
            route.admit(key, name)
        else:
            route.converted = {**(route.converted or {}), key: (name, line)}
        return name

    def _conversion(self, route: Route, name: str, unit: str | None) -> Line | None:
        """From the published unit to the card's. A unit that only the payload tells, and that
        nobody knows, is no reason to lose the signal."""
        configured = route.source.section.units.get(name)
        wanted = self._unit_of(route.equipment, name)
        if wanted is None or (configured is None and unit is None):
            return None
        if configured is not None:
            return conversion(configured, wanted)
        try:
            return conversion(unit or "", wanted)
        except BadConfig as error:
            self.census.tell(f"{route.equipment} {name}", f"{name} is taken as it is: {error}")
            return None

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
                hint = "; arrays = mean, rms or last makes one" if isinstance(value, list) else ""
                raise BadPayload(f"signal {shown(key)} is no number but {described(value)}{hint}")
        if not unread:
            raise BadPayload("no signal in it")
