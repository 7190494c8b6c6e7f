"""The control loop: commands and desired settings, apart from telemetry so that a flood of
readings never delays them. A message is acknowledged once its effect is committed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from edge_agent.domain.telemetry import Message
from edge_agent.errors import Unavailable
from edge_agent.inbox import Inbox
from edge_agent.store.connection import FATAL

log = structlog.get_logger(__name__)

BATCH = 20
RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Control:
    """Hands each control message to the handler of its topic."""

    inbox: Inbox
    handlers: dict[str, Callable[[Message], None]]
    """Start of the topic → handler; the longest match wins."""
    acknowledge: Callable[[Message], None]
    tick: Callable[[], None]
    """Called about once a second: what time alone moves (probation, worker, sensors)."""
    beat: Callable[[], None]

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``."""
        while not stop.is_set():
            self.beat()
            for message in self.inbox.take(BATCH, 1.0):
                self.insist(lambda: self.handle(message), stop)  # noqa: B023 - called at once
            self.insist(self.tick, stop)

    def insist(self, work: Callable[[], None], stop: threading.Event) -> None:
        """Do ``work`` again and again while the disk is full; unacknowledged, a message that could
        not be handled before ``stop`` comes again."""
        while True:
            try:
                work()
            except FATAL:
                raise
            except Unavailable as error:
                log.warning("control_waits", reason=str(error))
                self.beat()
                if stop.wait(RETRY_S):
                    return
            else:
                return

    def handle(self, message: Message) -> None:
        """One message to its handler; unknown topics are logged, never an error."""
        matching = [start for start in self.handlers if message.topic.startswith(start)]
        if matching:
            self.handlers[max(matching, key=len)](message)
        else:
            log.warning("control_topic_unknown", topic=message.topic)
        if message.ack is not None:
            self.acknowledge(message)
