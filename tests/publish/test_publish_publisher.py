from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from brokers import Mosquitto, Proxy, wait_until
from findings import outgoing
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.config.broker import MqttSection
from edge_agent.config.settings import StoreSection
from edge_agent.errors import Unavailable
from edge_agent.mqtt import Broker
from edge_agent.outgoing import Outcome, Outgoing, OutgoingPriority
from edge_agent.publish.message import status_message
from edge_agent.publish.publisher import PARK_LONGEST_S, Backlog, Line, Publisher, park_s
from edge_agent.store.database import Store


class Station:
    """Store, broker connection and publisher, as the daemon wires them."""

    def __init__(self, folder: Path, port: int, window: int = 8) -> None:
        self.store = Store.open(folder, StoreSection(ballast_mb=0))
        self.broker = Broker(
            MqttSection(host="127.0.0.1", port=port, keepalive_s=5, reconnect_max_s=1),
            client_id="edge-agent-gw",
            will=status_message("edge/gw", "offline", session_id="s"),
            birth=lambda: status_message("edge/gw", "online", session_id="s"),
            deliver=lambda _message: None,
        )
        outbox = self.store.outbox
        self.publisher = Publisher(
            Backlog(outbox.pending, outbox.sent_all, outbox.park),
            Line(self.broker.publish, self.broker.room, self.broker.reset),
            window=window,
        )
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.publisher.run, args=(self.stop,))

    def start(self) -> Station:
        self.broker.start()
        self.thread.start()
        return self

    def add(self, *messages: Outgoing) -> None:
        self.store.outbox.add(messages, time.time())
        self.publisher.notify()

    def waiting(self) -> int:
        return self.store.outbox.counts().waiting

    def close(self) -> None:
        self.stop.set()
        if self.thread.is_alive():
            self.thread.join(10)
        self.broker.stop(0.5)
        self.store.close()


@pytest.fixture
def stations(tmp_path: Path) -> Iterator[Callable[..., Station]]:
    made: list[Station] = []

    def make(port: int, window: int = 8) -> Station:
        made.append(Station(tmp_path / str(len(made)), port, window))
        return made[-1]

    yield make
    for station in made:
        station.close()


@pytest.fixture
def heard(broker: Mosquitto) -> Iterator[list[bytes]]:
    """Payloads below edge/ but the status, as a subscriber gets them."""
    seen: list[bytes] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
    ready = threading.Event()
    client.on_connect = lambda c, *_: c.subscribe([("edge/gw/incident/#", 1)])
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _c, _u, message: seen.append(bytes(message.payload))
    client.reconnect_delay_set(1, 1)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    assert ready.wait(10)
    yield seen
    client.disconnect()
    client.loop_stop()


Make = Callable[..., Station]


def numbered(count: int, first: int = 0) -> list[Outgoing]:
    return [outgoing(f"m{n}", payload=str(n).encode()) for n in range(first, first + count)]


def test_a_backlog_is_sent_whole_and_in_order(
    broker: Mosquitto, heard: list[bytes], stations: Make
) -> None:
    station = stations(broker.port)
    station.add(*numbered(500))
    station.start()
    wait_until(lambda: station.waiting() == 0, seconds=30, what="an empty outbox")
    wait_until(lambda: len(heard) == 500)
    assert heard == [str(n).encode() for n in range(500)]
    assert station.publisher.status.acked == 500


def test_results_overtake_health(broker: Mosquitto, heard: list[bytes], stations: Make) -> None:
    station = stations(broker.port, window=1)
    station.add(
        *[outgoing(f"h{n}", OutgoingPriority.HEALTH, payload=b"health") for n in range(3)],
        outgoing("r", payload=b"result"),
    )
    station.start()
    wait_until(lambda: len(heard) == 4)
    assert heard[0] == b"result"


def test_no_row_goes_before_its_puback(broker: Mosquitto, stations: Make) -> None:
    with Proxy(broker.port) as proxy:
        station = stations(proxy.port).start()
        wait_until(lambda: station.broker.connected)
        proxy.stall()
        station.add(*numbered(20))
        wait_until(lambda: station.publisher.status.in_flight == 8, what="a full window")
        assert station.waiting() == 20
        proxy.resume()
        wait_until(lambda: station.waiting() == 0)


def test_cuts_in_the_middle_lose_nothing(
    broker: Mosquitto, heard: list[bytes], stations: Make
) -> None:
    with Proxy(broker.port) as proxy:
        station = stations(proxy.port).start()
        for batch in range(10):
            station.add(*numbered(40, batch * 40))
            time.sleep(0.03)
            proxy.cut()
        wait_until(lambda: station.waiting() == 0, seconds=30)
    wait_until(lambda: len(set(heard)) == 400)
    assert sorted(set(heard), key=int) == [str(n).encode() for n in range(400)]
    first_seen = list(dict.fromkeys(heard))
    assert first_seen == sorted(first_seen, key=int)


def test_what_the_broker_refuses_is_parked_and_does_not_block(
    tmp_path: Path, stations: Make
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite edge/gw/status\ntopic write edge/gw/incident/#\n")
    with Mosquitto([f"acl_file {acl}"]) as broker:
        station = stations(broker.port).start()
        station.add(outgoing("bad", topic="edge/gw/forbidden"), *numbered(20))
        wait_until(lambda: station.waiting() == 1, what="all but the refused one")
        assert "forbidden" in str(station.publisher.status.alarms)
        assert station.publisher.status.refused == 1
        assert station.store.outbox.counts().parked == 1
        acl.write_text("topic readwrite edge/gw/#\n")
        assert broker.process
        broker.restart()
        station.store.outbox.unpark()
        wait_until(lambda: station.waiting() == 0, what="the message to go")
        wait_until(lambda: not station.publisher.status.alarms)


def test_a_broker_that_is_away_costs_nothing_but_time(
    broker: Mosquitto, heard: list[bytes], stations: Make
) -> None:
    station = stations(broker.port).start()
    wait_until(lambda: station.broker.connected)
    broker.stop()
    station.add(*numbered(50))
    wait_until(lambda: not station.broker.connected)
    assert station.waiting() == 50
    broker.start()
    wait_until(lambda: station.waiting() == 0, what="the backlog to go")
    wait_until(lambda: len(heard) == 50)


def test_a_store_that_fails_after_the_puback_does_not_send_again() -> None:
    rows = [(1, outgoing("a"))]
    sends: list[str] = []
    failures = iter([Unavailable("full"), Unavailable("full")])

    def sent(seqs: object) -> None:
        for failure in failures:
            raise failure
        rows.clear()

    def send(message: Outgoing, done: Callable[[Outcome], None]) -> None:
        sends.append(message.key)
        done(Outcome("acked"))

    publisher = Publisher(
        Backlog(lambda limit, _now: rows[:limit], sent, lambda _seq, _until, _why: 0),
        Line(send, lambda: 10, lambda _reason: None),
        window=4,
    )
    for _ in range(5):
        publisher.turn(0.0)
    assert sends == ["a"]
    assert rows == []


def test_the_pause_of_a_refused_message_grows_to_its_cap() -> None:
    pauses = [park_s(n) for n in range(20)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 5.0
    assert pauses[-1] == PARK_LONGEST_S
