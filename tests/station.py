"""Store, broker connection, intake and publisher without the statistics: each message that comes in
is an incident of its own, so that its effect can be followed to the broker and back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from brokers import Mosquitto, wait_until
from findings import finding, outgoing
from peer import Peer

from edge_agent.config.broker import MqttSection
from edge_agent.config.settings import StoreSection
from edge_agent.domain.job import Job, JobState, job_id_for
from edge_agent.domain.outgoing import Outgoing
from edge_agent.domain.telemetry import Message
from edge_agent.errors import Unavailable
from edge_agent.inbox import Inbox
from edge_agent.mqtt import Broker, FilterMemory
from edge_agent.publish.message import status_message
from edge_agent.publish.publisher import Backlog, Line, Publisher
from edge_agent.store.database import Store

ROOT = "edge/gw"
IN, OUT = "plant/in", f"{ROOT}/incident/pump-1"


class Station:
    """``start`` it; ``plant/in`` goes in, ``edge/gw/incident/pump-1`` and ``…/diagnosis/…`` come
    out, each payload once after deduplication."""

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        window: int = 8,
        store: StoreSection | None = None,
        mqtt: dict[str, object] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.clock = clock
        self.store = Store.open(folder, store or StoreSection(ballast_mb=0), clock=clock)
        self.store.jobs.requeue_running()
        self.inbox = Inbox(10_000, 10_000_000, on_shed=self._let_go)
        self.gaps: list[str] = []
        values = {"host": "127.0.0.1", "port": port, "keepalive_s": 5, "reconnect_max_s": 1}
        self.broker = Broker(
            MqttSection.model_validate(values | (mqtt or {})),
            client_id="edge-agent-gw",
            will=status_message(ROOT, "offline", session_id="s"),
            birth=lambda: status_message(ROOT, "online", session_id="s"),
            deliver=self.inbox.put,
            on_lost=self.gaps.append,
            filters=FilterMemory(self._load_filters, self._save_filters),
        )
        self.broker.subscribe([(IN, 1)])
        outbox = self.store.outbox
        self.publisher = Publisher(
            Backlog(outbox.pending, outbox.sent_all, outbox.park),
            Line(self.broker.publish, self.broker.room, self.broker.reset),
            window=window,
            clock=clock,
        )
        self.seen: list[bytes] = []
        """Payloads taken in, in order, repetitions included."""
        self.blocked = False
        """Whether the store has refused the last attempt."""
        self.halt = threading.Event()
        self._threads = [
            threading.Thread(target=self._take_in, name="intake"),
            threading.Thread(target=self._work, name="worker"),
            threading.Thread(target=self.publisher.run, args=(self.halt,), name="publisher"),
        ]

    def __enter__(self) -> Station:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> Station:
        self.broker.start()
        for thread in self._threads:
            thread.start()
        return self

    def add(self, *messages: Outgoing) -> None:
        self.store.outbox.add(messages, self.clock())
        self.publisher.notify()

    def waiting(self) -> int:
        return self.store.outbox.counts().waiting

    def close(self) -> None:
        self.halt.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(10)
        self.broker.stop(0.5)
        self.store.close()

    def _load_filters(self) -> list[str]:
        return sorted(self.store.snapshots.all("filters"))

    def _save_filters(self, filters: list[str]) -> None:
        with self.store.transaction():
            for name in self._load_filters():
                self.store.snapshots.delete("filters", name)
            self.store.snapshots.put_all("filters", dict.fromkeys(filters, b""))

    def _let_go(self, message: Message) -> None:
        self.broker.ack(message)

    def _take_in(self) -> None:
        while not self.halt.is_set():
            batch = self.inbox.take(50, 0.1)
            if not batch:
                continue
            try:
                self.store.persist(
                    lambda: self._record(batch),  # noqa: B023 - used at once
                    give_up=self.halt.is_set,
                    beat=self._block,
                )
            except Unavailable:
                return
            self.blocked = False
            self.publisher.notify()
            for message in batch:
                self.broker.ack(message)

    def _block(self) -> None:
        self.blocked = True

    def _record(self, batch: list[Message]) -> None:
        for message in batch:
            self.seen.append(message.payload)
            name = message.payload.decode("utf-8", "backslashreplace")
            found = finding(name)
            if not self.store.incidents.record(found):
                continue
            self.store.outbox.add([outgoing(f"in-{name}", payload=message.payload)], self.clock())
            self.store.jobs.enqueue(
                Job(
                    id=job_id_for(found),
                    incident_id=found.incident_id,
                    equipment=found.equipment,
                    finding=found,
                    created_at=self.clock(),
                )
            )

    def _work(self) -> None:
        while not self.halt.is_set():
            try:
                job = self.store.jobs.claim(self.clock())
                if job is None:
                    self.halt.wait(0.02)
                    continue
                with self.store.transaction():
                    self.store.jobs.finish(job, JobState.DONE)
                    message = outgoing(
                        f"diagnosis-{job.id}",
                        topic=f"{ROOT}/diagnosis/pump-1",
                        payload=job.incident_id.encode(),
                    )
                    self.store.outbox.add([message], self.clock())
                self.publisher.notify()
            except Unavailable:
                self.halt.wait(0.2)
                self._requeue()

    def _requeue(self) -> None:
        try:
            self.store.jobs.requeue_running()
        except Unavailable:
            self.halt.wait(0.2)


Stations = Callable[..., Station]
"""What the fixture ``stations`` gives: it makes stations and closes them at the end."""


def subscribed(broker: Mosquitto, times: int = 1, topic: str = IN) -> None:
    """Wait until the broker has taken the station's subscription."""
    wait_until(lambda: broker.log.count(f" {topic}\n") >= times, what="the subscription")


def results(peer: Peer) -> set[bytes]:
    """Incident payloads that the peer heard, after deduplication."""
    return set(peer.payloads(OUT))


def numbers(first: int, last: int) -> list[bytes]:
    return [str(number).encode() for number in range(first, last)]


def numbered(first: int, last: int) -> list[Outgoing]:
    """Messages for the outbox with the same payloads as ``numbers``."""
    return [outgoing(f"out-{n}", payload=str(n).encode()) for n in range(first, last)]
