"""All that watches the agent from outside, put together: the status socket, metrics, and the
devices of Home Assistant. Nothing here may hold up a diagnosis: failures are logged."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from edge_agent.config.observe import MetricsSection
from edge_agent.config.settings import Settings
from edge_agent.domain.diagnosis import Diagnosis
from edge_agent.domain.finding import Finding
from edge_agent.errors import Unavailable
from edge_agent.observe.announcer import Announcer, Memory
from edge_agent.observe.home_assistant import Gateway
from edge_agent.observe.tally import Tally
from edge_agent.statussocket import StatusSocket, runtime_dir
from edge_agent.store.connection import FATAL
from edge_agent.store.database import Store

if TYPE_CHECKING:
    from edge_agent.observe.exporter import Exporter

log = structlog.get_logger(__name__)

HOME_ASSISTANT = "home-assistant"
"""Kind of the document with announced topics, and of the snapshots of machines."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is looked at."""

    report: Callable[[], dict[str, Any]]
    """The health document, live."""
    tally: Tally
    states: Callable[[], Mapping[str, str]]
    """Machine → how detection stands there."""
    sessions_lost: Callable[[], int]
    send: Callable[..., None]
    """Put messages into the outbox."""


class Observation:
    """Told of every result once it is committed; ``tick`` comes about once a second."""

    def __init__(self, settings: Settings, store: Store, sight: Sight) -> None:
        self._tally = sight.tally
        self._socket = StatusSocket(runtime_dir(settings, os.environ), sight.report)
        self._exporter = _exporter(settings.observe.metrics, sight.report)
        self._announcer = _announcer(settings, store, sight)

    def start(self) -> None:
        """Open what answers questions."""
        self._socket.start()
        if self._exporter is not None:
            self._exporter.start()

    def tick(self) -> None:
        """What time alone moves: the textfile, and what Home Assistant has not been told yet."""
        now = time.monotonic()
        if self._exporter is not None:
            self._exporter.tick(now)
        try:
            self._announcer.tick(now)
        except FATAL:
            raise
        except Unavailable as error:
            log.warning("home_assistant_not_told", reason=str(error))

    def findings(self, found: Sequence[Finding]) -> None:
        """These findings are committed."""
        self._tally.findings(found)
        self._announcer.findings(found)

    def diagnosis(self, made: Diagnosis) -> None:
        """This diagnosis is committed."""
        self._tally.diagnosis(made)
        self._announcer.diagnosis(made)

    def close(self) -> None:
        """Close everything."""
        self._socket.close()
        if self._exporter is not None:
            self._exporter.close()


def _exporter(settings: MetricsSection, report: Callable[[], dict[str, Any]]) -> Exporter | None:
    """None where no way is switched on: prometheus-client is not even imported then."""
    if (settings.port, settings.socket, settings.textfile) == (None, None, None):
        return None
    from edge_agent.observe.exporter import Exporter

    return Exporter(settings, report)


def _announcer(settings: Settings, store: Store, sight: Sight) -> Announcer:
    home = settings.observe.home_assistant
    root = f"{settings.agent.topic_prefix}/{settings.agent.id}"
    memory = Memory(
        transaction=store.transaction,
        load_topics=lambda: store.generations.load(HOME_ASSISTANT),
        save_topics=lambda document: store.generations.save(HOME_ASSISTANT, document),
        load_pictures=lambda: store.snapshots.all(HOME_ASSISTANT),
        save_pictures=lambda found: store.snapshots.put_all(HOME_ASSISTANT, found),
        send=sight.send,
    )
    gateway = Gateway(settings.agent.id, root, home.prefix)
    return Announcer(home, gateway, memory, sight.states, sight.sessions_lost)
