from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from brokers import Mosquitto, Proxy, wait_until
from findings import outgoing
from peer import Peer

from edge_agent.config.broker import MqttSection
from edge_agent.domain.outgoing import Outcome, Outgoing
from edge_agent.domain.telemetry import Message
from edge_agent.mqtt import Broker, Delivery, FilterMemory
from edge_agent.publish.message import status_message

ROOT = "edge/gw"


class Agent:
    """A ``Broker`` with what it received."""

    def __init__(self, port: int, **options: object) -> None:
        self.received: list[Message] = []
        self.gaps: list[str] = []
        self.filters: list[str] = list(options.pop("filters", ()))  # type: ignore[call-overload]
        settings = MqttSection.model_validate(
            {"host": "127.0.0.1", "port": port, "keepalive_s": 5, "reconnect_max_s": 1, **options}
        )
        self.broker = Broker(
            settings,
            client_id="edge-agent-gw",
            will=status_message(ROOT, "offline", session_id="s1"),
            birth=lambda: status_message(ROOT, "online", session_id="s1"),
            deliver=self.received.append,
            on_lost=self.gaps.append,
            filters=FilterMemory(lambda: self.filters, self._save),
        )

    def _save(self, filters: list[str]) -> None:
        self.filters = filters

    def connect(self, *filters: str) -> Agent:
        self.broker.subscribe([(text, 1) for text in filters])
        return self.connect_as_it_is()

    def connect_as_it_is(self) -> Agent:
        self.broker.start()
        wait_until(lambda: self.broker.connected, what="a connection")
        return self

    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.received]

    def ack_all(self) -> None:
        for message in list(self.received):
            self.broker.ack(message)

    def vanish(self) -> None:
        """As if the process were killed: the socket goes, nothing is said."""
        self.broker._stopping.set()
        link = self.broker._link
        if link is not None and (sock := link._client.socket()):
            sock.close()
        assert self.broker._thread
        self.broker._thread.join(5)


@pytest.fixture
def peer(broker: Mosquitto) -> Iterator[Peer]:
    client = Peer(broker.port)
    yield client
    client.close()


@pytest.fixture
def agents() -> Iterator[Callable[..., Agent]]:
    made: list[Agent] = []

    def make(port: int, **options: object) -> Agent:
        made.append(Agent(port, **options))
        return made[-1]

    yield make
    for agent in made:
        agent.broker.stop(0.5)


Make = Callable[..., Agent]


def test_it_says_online_and_receives(broker: Mosquitto, peer: Peer, agents: Make) -> None:
    peer.listen(f"{ROOT}/status")
    agent = agents(broker.port).connect("plant/+/telemetry")
    wait_until(lambda: peer.seen, what="the birth")
    assert b'"online"' in peer.seen[0][1]
    wait_until(lambda: _subscribed(broker, "plant/+/telemetry"), what="the subscription")
    peer.say("plant/p1/telemetry", b"1")
    wait_until(lambda: agent.received, what="a message")
    message = agent.received[0]
    assert (message.topic, message.payload, message.retained) == ("plant/p1/telemetry", b"1", False)
    assert message.ack is not None
    assert agent.broker.status().protocol == "5"


def test_stop_says_offline_and_the_will_says_it_otherwise(
    broker: Mosquitto, peer: Peer, agents: Make
) -> None:
    peer.listen(f"{ROOT}/status")
    agents(broker.port).connect().broker.stop()
    wait_until(lambda: len(peer.seen) == 2, what="the farewell")
    agents(broker.port).connect().vanish()
    wait_until(lambda: len(peer.seen) == 4, what="the will")
    assert [b'"offline"' in payload for _, payload, _ in peer.seen] == [False, True, False, True]
    assert all(b'"session_id":"s1"' in payload for _, payload, _ in peer.seen)


def test_what_came_while_we_were_away_is_delivered(
    broker: Mosquitto, peer: Peer, agents: Make
) -> None:
    agent = agents(broker.port).connect("t/#")
    wait_until(lambda: _subscribed(broker, "t/#"))
    agent.broker.stop()
    peer.say("t/a", b"1", b"2")
    again = agents(broker.port, filters=agent.filters).connect("t/#")
    wait_until(lambda: again.payloads() == [b"1", b"2"], what="the queued messages")
    assert again.gaps == []


def test_what_was_not_acknowledged_comes_again_and_nothing_else(
    broker: Mosquitto, peer: Peer, agents: Make
) -> None:
    agent = agents(broker.port).connect("t/#")
    wait_until(lambda: _subscribed(broker, "t/#"))
    peer.say("t/a", b"1", b"2", b"3")
    wait_until(lambda: len(agent.received) == 3)
    first, second, third = agent.received
    agent.broker.ack(second)  # out of order: it waits for the first
    agent.broker.ack(first)
    wait_until(lambda: broker.log.count("Received PUBACK") == 2, what="two PUBACKs")
    agent.vanish()
    again = agents(broker.port).connect("t/#")
    wait_until(lambda: again.received)
    assert again.payloads() == [third.payload]


def test_a_message_of_qos_2_is_kept_at_the_broker_until_its_effect_is_durable(
    broker: Mosquitto, peer: Peer, agents: Make
) -> None:
    agent = agents(broker.port)
    agent.broker.subscribe([("t/#", 2)])
    agent.connect_as_it_is()
    wait_until(lambda: _subscribed(broker, "t/#"))
    peer.say("t/a", b"1", qos=2)
    wait_until(lambda: agent.received)
    wait_until(lambda: b"1" in agent.payloads())
    agent.vanish()  # before the acknowledgement: with QoS 2 the PUBREC would have gone already
    again = agents(broker.port).connect("t/#")
    wait_until(lambda: again.payloads() == [b"1"], what="the message once more")


def test_callbacks_may_publish_and_acknowledge(broker: Mosquitto, peer: Peer, agents: Make) -> None:
    agent = agents(broker.port).connect("t/#")
    wait_until(lambda: _subscribed(broker, "t/#"))
    done: list[Outcome] = []

    def again(outcome: Outcome) -> None:  # in the network thread, inside of a callback of paho
        done.append(outcome)
        agent.ack_all()
        if len(done) < 60:
            agent.broker.publish(outgoing(f"n{len(done)}"), again)

    threads = [threading.Thread(target=agent.ack_all) for _ in range(4)]
    for number in range(3):
        agent.broker.publish(outgoing(f"first{number}"), again)
    for thread in threads:
        thread.start()
    peer.say("t/a", *[b"x"] * 50)
    wait_until(lambda: len(done) >= 60, what="no lock to be held around a call of paho")
    for thread in threads:
        thread.join(10)
    assert agent.broker.status().generation == 1


def test_an_ack_of_an_earlier_connection_is_ignored(
    broker: Mosquitto, proxy: Proxy, peer: Peer, agents: Make
) -> None:
    agent = agents(proxy.port).connect("t/#")
    wait_until(lambda: _subscribed(broker, "t/#"))
    peer.say("t/a", b"old")
    wait_until(lambda: agent.received)
    proxy.cut()
    broker.restart(kill=True, lose_sessions=True)
    wait_until(lambda: agent.gaps, what="the gap")
    wait_until(lambda: _subscribed(broker, "t/#", times=2))
    other = Peer(broker.port, "other")
    other.say("t/a", b"new")
    wait_until(lambda: len(agent.received) == 2)
    old, new = agent.received
    assert old.ack
    assert new.ack
    assert old.ack[1] == new.ack[1]  # the same packet id, of another message
    agent.broker.ack(old)
    assert agent.broker.status().stale_acks == 1
    agent.vanish()
    again = agents(broker.port).connect("t/#")
    wait_until(lambda: again.payloads() == [b"new"], what="the unacknowledged message")
    other.close()


def test_filters_no_longer_wanted_are_unsubscribed(
    broker: Mosquitto, peer: Peer, agents: Make
) -> None:
    first = agents(broker.port).connect("old/#", "both/#")
    wait_until(lambda: _subscribed(broker, "old/#"))
    assert first.filters == ["both/#", "old/#"]
    first.broker.stop()
    second = agents(broker.port, filters=first.filters).connect("both/#", "new/#")
    wait_until(lambda: second.filters == ["both/#", "new/#"], what="the unsubscription")
    peer.say("old/a", b"not wanted")
    peer.say("both/a", b"wanted")
    wait_until(lambda: second.received)
    assert second.payloads() == [b"wanted"]
    second.broker.subscribe([("new/#", 1)])
    wait_until(lambda: second.filters == ["new/#"], what="the change while connected")


def test_a_refused_publish_is_told_from_an_accepted_one(tmp_path: Path, agents: Make) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite edge/gw/status\ntopic write edge/gw/diagnosis/#\n")
    with Mosquitto([f"acl_file {acl}"]) as broker:
        agent = agents(broker.port).connect()
        good = agent.broker.publish(outgoing("a", topic="edge/gw/diagnosis/p"))
        bad = agent.broker.publish(outgoing("b", topic="elsewhere"))
        good_outcome, bad_outcome = good.wait(10), bad.wait(10)
        assert good_outcome
        assert good_outcome.state == "acked"
        assert bad_outcome
        assert (bad_outcome.state, bad_outcome.code) == ("refused", 0x87)


def test_publishing_while_away_is_lost_at_once_and_never_queued(
    broker: Mosquitto, proxy: Proxy, peer: Peer, agents: Make
) -> None:
    peer.listen("edge/gw/incident/#")
    agent = agents(proxy.port).connect()
    proxy.refuse()
    proxy.cut()
    wait_until(lambda: not agent.broker.connected)
    outcome = agent.broker.publish(outgoing("a")).outcome
    assert outcome
    assert outcome.state == "lost"
    proxy.refuse(False)
    wait_until(lambda: agent.broker.connected)
    delivery = agent.broker.publish(outgoing("b", payload=b"second"))
    assert _acked(delivery)
    wait_until(lambda: peer.seen)
    assert [payload for _, payload, _ in peer.seen] == [b"second"]


def test_in_flight_deliveries_end_with_the_connection(
    broker: Mosquitto, proxy: Proxy, agents: Make
) -> None:
    agent = agents(proxy.port).connect()
    proxy.stall()
    deliveries = [agent.broker.publish(outgoing(f"m{n}")) for n in range(5)]
    assert all(delivery.outcome is None for delivery in deliveries)
    proxy.cut()
    for delivery in deliveries:
        outcome = delivery.wait(10)
        assert outcome
        assert outcome.state == "lost"


def test_many_threads_may_publish_at_once(broker: Mosquitto, peer: Peer, agents: Make) -> None:
    peer.listen("edge/gw/incident/#")
    agent = agents(broker.port).connect()
    deliveries: list[Delivery] = []

    def publish(first: int) -> None:
        for number in range(first, first + 100):
            payload = str(number).encode() * 50
            message = outgoing(f"m{number}", payload=payload)
            while (delivery := agent.broker.publish(message)).outcome is not None:
                time.sleep(0.001)  # as many in flight as the broker accepts
            deliveries.append(delivery)

    threads = [threading.Thread(target=publish, args=(n * 100,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(_acked(delivery) for delivery in deliveries)
    wait_until(lambda: len(peer.seen) == 400)
    assert {payload for _, payload, _ in peer.seen} == {str(n).encode() * 50 for n in range(400)}
    assert agent.broker.status().generation == 1


def test_a_broker_of_311_is_spoken_to_in_311(agents: Make) -> None:
    with Mosquitto() as broker, Proxy(broker.port) as proxy:
        # A broker without MQTT 5 closes the connection at a CONNECT of version 5.
        proxy.client_filter = lambda chunk: chunk if b"\x00\x04MQTT\x05" not in chunk else b""
        only_311 = proxy.client_filter

        def refuse_v5(chunk: bytes) -> bytes:
            kept = only_311(chunk)
            if not kept:
                proxy.cut()
            return kept

        proxy.client_filter = refuse_v5
        agent = agents(proxy.port).connect("t/#")
        status = agent.broker.status()
        assert status.protocol == "3.1.1"
        assert status.caveat
        assert _acked(agent.broker.publish(outgoing("a")))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_network_thread_that_died_is_replaced(broker: Mosquitto, agents: Make) -> None:
    agent = agents(broker.port)

    def die() -> Outgoing:
        raise SystemExit

    birth, agent.broker._birth = agent.broker._birth, die
    agent.broker.start()
    wait_until(lambda: not agent.broker.healthy(), what="the death of the thread")
    agent.broker._birth = birth
    assert not agent.broker.ensure_running()
    wait_until(lambda: agent.broker.connected)
    assert agent.broker.healthy()
    assert agent.broker.status().revived == 1


def test_a_deliver_that_raises_costs_a_connection_not_the_thread(
    broker: Mosquitto, peer: Peer, agents: Make
) -> None:
    agent = agents(broker.port)
    failures = iter([RuntimeError("once")])

    def deliver(message: Message) -> None:
        for failure in failures:
            raise failure
        agent.received.append(message)

    agent.broker._deliver = deliver
    agent.connect("t/#")
    wait_until(lambda: _subscribed(broker, "t/#"))
    peer.say("t/a", b"1")
    wait_until(lambda: agent.payloads() == [b"1"], seconds=20, what="the message to come again")


def test_reconnects_leave_no_descriptors_behind(
    broker: Mosquitto, proxy: Proxy, agents: Make
) -> None:
    agent = agents(proxy.port).connect("t/#")
    gc.collect()
    gc.disable()
    try:
        counts = []
        for generation in range(1, 16):
            counts.append(len(list(Path("/proc/self/fd").iterdir())))
            agent.broker.reset("the test wants another one")
            wait_until(lambda n=generation: _connected_again(agent, n))  # type: ignore[misc]
    finally:
        gc.enable()
    assert max(counts[5:]) <= counts[0] + 6


def _connected_again(agent: Agent, generation: int) -> bool:
    status = agent.broker.status()
    return status.generation > generation and status.connected


def test_what_is_no_message_is_refused_and_nothing_breaks(broker: Mosquitto, agents: Make) -> None:
    agent = agents(broker.port).connect()
    for topic in ("a/+/b", "a/#", "", "x" * 70_000, "lone \ud800 surrogate"):
        outcome = agent.broker.publish(outgoing("k", topic=topic)).wait(5)
        assert outcome
        assert outcome.state == "refused"
    assert _acked(agent.broker.publish(outgoing("k")))


def _subscribed(broker: Mosquitto, text: str, times: int = 1) -> bool:
    """Whether the broker has logged the subscription (``name qos filter``)."""
    return broker.log.count(f" {text}\n") >= times and "Sending SUBACK" in broker.log


def _acked(delivery: Delivery) -> bool:
    outcome = delivery.wait(10)
    return outcome is not None and outcome.state == "acked"
