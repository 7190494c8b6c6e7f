"""Sparkplug B, as a host application: births, aliases, sequence, deaths (specification 3.0,
chapters 4 to 6). Pure: messages and their time of arrival in, samples and requests out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from edge_agent.decode.name import name_fault, shown
from edge_agent.decode.sample import Sample
from edge_agent.decode.sparkplug_wire import Metric, Payload, bdseq, parse, rebirth_request
from edge_agent.domain.outgoing import Outgoing
from edge_agent.domain.telemetry import Message, Quality
from edge_agent.errors import BadPayload

WINDOW = 16
"""Messages of a node that may wait for one that is missing before them."""
REORDER_S = 2.0
"""How long they wait, seconds."""
REBIRTH_EVERY_S = 60.0
"""A node is asked to announce itself at most this often."""
NODES = 1_000
METRICS = 20_000
"""Metrics of one node."""

NODE_TYPES = frozenset({"NBIRTH", "NDATA", "NDEATH"})
DEVICE_TYPES = frozenset({"DBIRTH", "DDATA", "DDEATH"})
PASSED_OVER = frozenset({"NCMD", "DCMD", "STATE"})
"""Commands to nodes, and what hosts say of themselves."""


class NodeState(StrEnum):
    """Whether a node's data can be read."""

    UNKNOWN = "unknown"
    """Its birth was not heard: aliases mean nothing yet."""
    ONLINE = "online"
    DOUBTED = "doubted"
    """Something was lost in between: read on, and ask for a birth."""
    DEAD = "dead"


MOVES: dict[tuple[NodeState, str], NodeState] = {
    **{(state, "birth"): NodeState.ONLINE for state in NodeState},
    (NodeState.UNKNOWN, "data"): NodeState.UNKNOWN,
    (NodeState.ONLINE, "data"): NodeState.ONLINE,
    (NodeState.DOUBTED, "data"): NodeState.DOUBTED,
    (NodeState.DEAD, "data"): NodeState.UNKNOWN,
    (NodeState.UNKNOWN, "gap"): NodeState.UNKNOWN,
    (NodeState.ONLINE, "gap"): NodeState.DOUBTED,
    (NodeState.DOUBTED, "gap"): NodeState.DOUBTED,
    (NodeState.DEAD, "gap"): NodeState.DEAD,
    (NodeState.UNKNOWN, "death"): NodeState.UNKNOWN,
    (NodeState.ONLINE, "death"): NodeState.DEAD,
    (NodeState.DOUBTED, "death"): NodeState.DEAD,
    (NodeState.DEAD, "death"): NodeState.DEAD,
}
"""Every move of a node's state."""


@dataclass(slots=True)
class _Known:
    """What a birth said of one metric."""

    device: str
    name: str
    datatype: int | None
    last: object = None


@dataclass(slots=True)
class _Waiting:
    """A message that came before the one in front of it."""

    kind: str
    device: str
    payload: Payload
    arrived: float


@dataclass(slots=True)
class Node:
    """One edge node."""

    group: str
    name: str
    state: NodeState = NodeState.UNKNOWN
    bdseq: int | None = None
    expected: int = 0
    asked_at: float | None = None
    metrics: dict[tuple[str, str], _Known] = field(default_factory=dict)
    aliases: dict[int, _Known] = field(default_factory=dict)
    waiting: dict[int, _Waiting] = field(default_factory=dict)

    def move(self, event: str) -> None:
        """Take the move of ``MOVES``."""
        self.state = MOVES[self.state, event]


class SparkplugHost:
    """Follows every node of a group's topics.

    ``requests``: rebirth requests to publish, drained by whoever publishes. Counts: ``unread``
    metrics that are data sets or templates, ``unborn`` messages whose birth was not heard.
    """

    def __init__(self, equipment: str) -> None:
        self._equipment = equipment
        self._nodes: dict[tuple[str, str], Node] = {}
        self._requests: dict[str, Outgoing] = {}
        self.unread = 0
        self.unborn = 0
        self.gaps = 0

    def requests(self) -> list[Outgoing]:
        """What is to be published to nodes; empties the list."""
        requests, self._requests = self._requests, {}
        return list(requests.values())

    def take(self, message: Message, payload: bytes) -> list[Sample]:
        """The samples that ``message`` brings or sets free. Raises ``BadPayload``."""
        words = _address(message.topic)
        if words is None:
            return []
        group, kind, name, device = words
        node = self._nodes.get((group, name)) or Node(group, name)
        read = parse(payload, lambda alias, name: _datatype(node, device, alias, name))
        if (group, name) not in self._nodes:
            if len(self._nodes) >= NODES:
                raise BadPayload(f"more than {NODES} Sparkplug nodes: {shown(name)} is left out")
            self._nodes[group, name] = node
        self.unread += read.unread
        return list(self._sequenced(node, _Waiting(kind, device, read, message.arrived)))

    def state_of(self, group: str, name: str) -> NodeState | None:
        """The state of a node; None where nothing was heard of it."""
        node = self._nodes.get((group, name))
        return None if node is None else node.state

    def _sequenced(self, node: Node, one: _Waiting) -> Iterator[Sample]:
        """Messages in the order in which the node sent them."""
        if one.kind == "NDEATH":
            yield from self._death(node, one)
            return
        seq = one.payload.seq
        if seq is None or seq > 255:
            raise BadPayload(f"Sparkplug {one.kind} with seq {seq}: it counts from 0 to 255")
        if one.kind == "NBIRTH":
            node.waiting.clear()
            node.expected = (seq + 1) % 256
            yield from self._node_birth(node, one)
            return
        if node.state in (NodeState.UNKNOWN, NodeState.DEAD):
            self.unborn += 1
            node.move("data")
            self._ask(node, one.arrived)
            return
        node.waiting[seq] = one
        yield from self._released(node, one.arrived)

    def _released(self, node: Node, now: float) -> Iterator[Sample]:
        """What no longer waits: all that follows on, and all of it once waiting is in vain."""
        while node.waiting:
            if node.expected not in node.waiting:
                oldest = min(one.arrived for one in node.waiting.values())
                ahead = [(seq - node.expected) % 256 for seq in node.waiting]
                if max(ahead) <= WINDOW and 0 <= now - oldest < REORDER_S:
                    return
                self.gaps += 1
                node.move("gap")
                self._ask(node, now)
                node.expected = (node.expected + min(ahead)) % 256
            one = node.waiting.pop(node.expected)
            node.expected = (node.expected + 1) % 256
            node.move("data")
            yield from self._content(node, one)

    def _content(self, node: Node, one: _Waiting) -> Iterator[Sample]:
        if node.state is NodeState.DOUBTED:
            self._ask(node, one.arrived)
        if one.kind == "DDEATH":
            yield from self._stale(node, one.device)
        elif one.kind == "DBIRTH":
            self._learn(node, one)
            yield from self._values(node, one)
        else:
            yield from self._values(node, one)

    def _node_birth(self, node: Node, one: _Waiting) -> Iterator[Sample]:
        node.move("birth")
        node.bdseq = bdseq(one.payload.metrics)
        node.metrics.clear()
        node.aliases.clear()
        self._learn(node, one)
        yield from self._values(node, one)

    def _learn(self, node: Node, one: _Waiting) -> None:
        """Names, aliases and types, as a birth certificate tells them."""
        for metric in one.payload.metrics:
            if metric.name is None or len(node.metrics) >= METRICS:
                continue
            known = _Known(one.device, metric.name, metric.datatype)
            node.metrics[one.device, metric.name] = known
            if metric.alias is not None and len(node.aliases) < METRICS:
                node.aliases[metric.alias] = known

    def _values(self, node: Node, one: _Waiting) -> Iterator[Sample]:
        equipment = self._machine(node, one.device)
        for metric in one.payload.metrics:
            known = self._find(node, one.device, metric)
            if known is None:
                self.unborn += 1
                node.move("gap")
                self._ask(node, one.arrived)
                continue
            if metric.value is None or known.name.startswith(("bdSeq", "Node Control/")):
                continue
            known.last = metric.value
            yield Sample(
                known.name.replace("/", "."),
                metric.value,
                equipment=equipment,
                at=metric.at if metric.at is not None else one.payload.at,
                own_time=True,
                quality=Quality.REPLAY if metric.historical else metric.quality,
                unit=metric.unit,
            )

    def _find(self, node: Node, device: str, metric: Metric) -> _Known | None:
        if metric.name is not None:
            return node.metrics.get((device, metric.name))
        return node.aliases.get(metric.alias) if metric.alias is not None else None

    def _death(self, node: Node, one: _Waiting) -> Iterator[Sample]:
        """The node is gone, unless this is the late death of an earlier session of its."""
        told = bdseq(one.payload.metrics)
        if node.state is NodeState.UNKNOWN or (told is not None and told != node.bdseq):
            return
        node.move("death")
        node.waiting.clear()
        for device in sorted({known.device for known in node.metrics.values()}):
            yield from self._stale(node, device)

    def _stale(self, node: Node, device: str) -> Iterator[Sample]:
        """The last value of each metric of a device, marked stale from now on."""
        equipment = self._machine(node, device)
        for known in node.metrics.values():
            if known.device == device and known.last is not None:
                yield Sample(
                    known.name.replace("/", "."),
                    known.last,
                    equipment=equipment,
                    quality=Quality.STALE,
                )

    def _machine(self, node: Node, device: str) -> str:
        parts = {"{group}": node.group, "{node}": node.name, "{device}": device}
        name = self._equipment
        for placeholder, text in parts.items():
            name = name.replace(placeholder, text)
        return name.strip(".-_ ") or node.name

    def _ask(self, node: Node, now: float) -> None:
        """Ask for a birth, seldom."""
        if node.asked_at is None or not 0 <= now - node.asked_at < REBIRTH_EVERY_S:
            node.asked_at = now
            request = rebirth_request(node.group, node.name, now)
            self._requests[request.key] = request


def _address(topic: str) -> tuple[str, str, str, str] | None:
    """(group, type, node, device or empty) of a topic; None for one that a host passes over.
    Raises ``BadPayload``."""
    levels = topic.split("/")
    kind = levels[2] if len(levels) > 2 else ""
    if kind in PASSED_OVER or levels[1:2] == ["STATE"]:
        return None
    names = [levels[1], *levels[3:]] if kind in NODE_TYPES | DEVICE_TYPES else []
    if len(names) != (3 if kind in DEVICE_TYPES else 2):
        raise BadPayload(f"{shown(topic, 200)} is no Sparkplug topic")
    for name in names:
        fault = name_fault(name)
        if fault:
            raise BadPayload(f"Sparkplug name {shown(name)} {fault}")
    return names[0], kind, names[1], names[2] if len(names) > 2 else ""


def _datatype(node: Node, device: str, alias: int | None, name: str | None) -> int | None:
    known = node.metrics.get((device, name)) if name is not None else None
    if known is None and alias is not None:
        known = node.aliases.get(alias)
    return None if known is None else known.datatype
