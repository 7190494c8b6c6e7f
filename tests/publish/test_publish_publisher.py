from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from brokers import Mosquitto, Proxy, wait_until
from findings import outgoing
from peer import Peer
from station import OUT, Station

from edge_agent.domain.outgoing import Outcome, Outgoing, OutgoingPriority
from edge_agent.errors import Unavailable
from edge_agent.publish.publisher import PARK_LONGEST_S, Backlog, Line, Publisher, park_s


@pytest.fixture
def stations(tmp_path: Path) -> Iterator[Callable[..., Station]]:
    made: list[Station] = []

    def make(port: int, window: int = 8) -> Station:
        made.append(Station(tmp_path / str(len(made)), port, window=window))
        return made[-1]

    yield make
    for station in made:
        station.close()


@pytest.fixture
def peer(broker: Mosquitto) -> Iterator[Peer]:
    """Hears the incidents."""
    with Peer(broker.port).listen(OUT) as listener:
        yield listener


Make = Callable[..., Station]


def numbered(count: int, first: int = 0) -> list[Outgoing]:
    return [outgoing(f"m{n}", payload=str(n).encode()) for n in range(first, first + count)]


def test_a_backlog_is_sent_whole_and_in_order(
    broker: Mosquitto, peer: Peer, stations: Make
) -> None:
    station = stations(broker.port)
    station.add(*numbered(500))
    station.start()
    wait_until(lambda: station.waiting() == 0, seconds=30, what="an empty outbox")
    wait_until(lambda: len(peer.seen) == 500)
    assert peer.payloads() == [str(n).encode() for n in range(500)]
    assert station.publisher.status.acked == 500


def test_results_overtake_health(broker: Mosquitto, peer: Peer, stations: Make) -> None:
    station = stations(broker.port, window=1)
    station.add(
        *[outgoing(f"h{n}", OutgoingPriority.HEALTH, payload=b"health") for n in range(3)],
        outgoing("r", payload=b"result"),
    )
    station.start()
    wait_until(lambda: len(peer.seen) == 4)
    assert peer.payloads()[0] == b"result"


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


def test_cuts_in_the_middle_lose_nothing(broker: Mosquitto, peer: Peer, stations: Make) -> None:
    with Proxy(broker.port) as proxy:
        station = stations(proxy.port).start()
        for batch in range(10):
            station.add(*numbered(40, batch * 40))
            time.sleep(0.03)
            proxy.cut()
        wait_until(lambda: station.waiting() == 0, seconds=30)
    wait_until(lambda: len(set(peer.payloads())) == 400)
    assert sorted(set(peer.payloads()), key=int) == [str(n).encode() for n in range(400)]
    first_seen = list(dict.fromkeys(peer.payloads()))
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
    broker: Mosquitto, peer: Peer, stations: Make
) -> None:
    station = stations(broker.port).start()
    wait_until(lambda: station.broker.connected)
    broker.stop()
    station.add(*numbered(50))
    wait_until(lambda: not station.broker.connected)
    assert station.waiting() == 50
    broker.start()
    wait_until(lambda: station.waiting() == 0, what="the backlog to go")
    wait_until(lambda: len(peer.seen) == 50)


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


def test_a_message_that_ends_connections_is_found_and_parked() -> None:
    rows = [(n, outgoing(f"m{n}")) for n in range(1, 30)]
    parked: list[int] = []
    flight: list[tuple[str, Callable[[Outcome], None]]] = []

    def park(seq: int, _until: Callable[[int], float], _why: str) -> int:
        parked.append(seq)
        rows[:] = [row for row in rows if row[0] != seq]
        return 1

    def sent(seqs: Sequence[int]) -> None:
        rows[:] = [row for row in rows if row[0] not in seqs]

    def send(message: Outgoing, done: Callable[[Outcome], None]) -> None:
        flight.append((message.key, done))

    def serve() -> None:
        """The broker acknowledges in order, and hangs up at the poison."""
        batch, flight[:] = list(flight), []
        alive = True
        for key, done in batch:
            alive = alive and key != "m7"
            done(Outcome("acked") if alive else Outcome("lost", "hung up"))

    publisher = Publisher(
        Backlog(lambda limit, _now: rows[:limit], sent, park),
        Line(send, lambda: 100, lambda _reason: None),
        window=8,
    )
    for _ in range(60):
        publisher.turn(0.0)
        serve()
    publisher.turn(0.0)
    assert parked == [7]
    assert rows == []
    assert publisher.status.refused == 1
