"""Keeps what Home Assistant sees in step with what is there, whatever happens in between.

The wanted retained messages are computed anew each time and compared with those last sent; the
topics that may hold one are remembered durably, so that they can be cleared later.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from edge_agent.config.observe import HomeAssistantSection
from edge_agent.domain.diagnosis import Diagnosis
from edge_agent.domain.finding import Finding
from edge_agent.domain.outgoing import Outgoing
from edge_agent.observe.home_assistant import Gateway, Picture, retained

log = structlog.get_logger(__name__)

EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Memory:
    """What outlives a restart. Each may raise ``Unavailable``."""

    transaction: Callable[[], AbstractContextManager[Any]]
    load_topics: Callable[[], bytes | None]
    save_topics: Callable[[bytes], None]
    load_pictures: Callable[[], Mapping[str, bytes]]
    save_pictures: Callable[[Mapping[str, bytes]], None]
    send: Callable[..., object]
    """Put messages into the outbox."""


class Announcer:
    """``findings`` and ``diagnosis`` may come from any thread, ``tick`` from one.

    ``states``: machine → how detection stands there. ``losses``: how often the broker forgot us;
    it may have forgotten what it retained as well.
    """

    def __init__(
        self,
        settings: HomeAssistantSection,
        gateway: Gateway,
        memory: Memory,
        states: Callable[[], Mapping[str, str]],
        losses: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._gateway = gateway
        self._memory = memory
        self._states = states
        self._losses = losses
        self._lock = threading.Lock()
        self._pictures = _readable(memory.load_pictures())
        self._changed: set[str] = set()
        self._topics: set[str] = set(json.loads(memory.load_topics() or b"[]"))
        self._sent: dict[str, bytes] = {}
        self._lost = 0
        self._next = 0.0

    def findings(self, found: Iterable[Finding]) -> None:
        """These are committed."""
        if self._settings.enabled:
            with self._lock:
                for one in found:
                    self._put(one.equipment, self._picture(one.equipment).found(one))

    def diagnosis(self, made: Diagnosis) -> None:
        """This one is committed."""
        if self._settings.enabled:
            with self._lock:
                self._put(made.equipment, self._picture(made.equipment).diagnosed(made))

    def tick(self, now: float) -> None:
        """Send what differs, clear what is gone. ``now``: monotonic seconds.

        Raises ``Unavailable``; nothing is forgotten then, and the next tick tries again.
        """
        if now < self._next or not (self._settings.enabled or self._topics):
            return
        self._next = now + EVERY_S
        lost = self._losses()
        if lost != self._lost:
            self._lost = lost
            self._sent.clear()
        wanted = self._wanted()
        news = {topic: body for topic, body in wanted.items() if self._sent.get(topic) != body}
        gone = self._topics - wanted.keys()
        with self._lock:
            changed = {name: self._pictures[name] for name in self._changed}
        if not news and not gone and not changed:
            return
        messages = [_retained(topic, news[topic]) for topic in sorted(news)]
        messages += [_retained(topic, b"") for topic in sorted(gone)]
        with self._memory.transaction():
            if wanted.keys() != self._topics:
                self._memory.save_topics(json.dumps(sorted(wanted)).encode())
            if changed:
                self._memory.save_pictures(
                    {name: msgspec.json.encode(one) for name, one in changed.items()}
                )
            self._memory.send(*messages)
        self._topics, self._sent = set(wanted), wanted
        with self._lock:
            self._changed -= {n for n, one in changed.items() if self._pictures[n] is one}
        log.info("home_assistant_told", topics=len(news), cleared=len(gone))

    def _wanted(self) -> dict[str, bytes]:
        if not self._settings.enabled:
            return {}
        states = self._states()
        with self._lock:
            pictures = dict(self._pictures)
        urgent = sorted(states, key=lambda name: (states[name] != "open", name))
        shown = sorted(urgent[: self._settings.max_equipment])
        return retained(self._gateway, {name: states[name] for name in shown}, pictures)

    def _picture(self, equipment: str) -> Picture:
        return self._pictures.get(equipment, Picture())

    def _put(self, equipment: str, picture: Picture) -> None:
        if picture != self._pictures.get(equipment):
            self._pictures[equipment] = picture
            self._changed.add(equipment)


def _readable(stored: Mapping[str, bytes]) -> dict[str, Picture]:
    """Pictures of an older version that cannot be read are made anew by the next finding."""
    found = {}
    for name, data in stored.items():
        with suppress(msgspec.DecodeError):
            found[name] = msgspec.json.decode(data, type=Picture)
    return found


def _retained(topic: str, payload: bytes) -> Outgoing:
    # The key is never the same twice: a state that comes back must not count as waiting already.
    return Outgoing(topic=topic, payload=payload, key=f"home-{time.time_ns()}-{topic}", retain=True)
