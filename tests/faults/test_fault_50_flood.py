from __future__ import annotations

from brokers import Mosquitto, wait_until
from peer import Peer
from station import IN

from edge_agent.config.broker import MqttSection
from edge_agent.domain.telemetry import Message
from edge_agent.inbox import Inbox
from edge_agent.mqtt import Broker
from edge_agent.publish.message import status_message


def test_fault_50_a_flood_is_bounded_and_commands_come_through(broker: Mosquitto) -> None:
    def let_go(message: Message) -> None:
        link.ack(message)

    commands: list[Message] = []
    inbox = Inbox(100, 1_000_000, on_shed=let_go)  # nobody takes anything out of it

    def deliver(message: Message) -> None:
        if message.topic.startswith("edge/"):
            commands.append(message)
            link.ack(message)
        else:
            inbox.put(message)

    link = Broker(
        MqttSection(host="127.0.0.1", port=broker.port, keepalive_s=5),
        client_id="edge-agent-gw",
        will=status_message("edge/gw", "offline", session_id="s"),
        birth=lambda: status_message("edge/gw", "online", session_id="s"),
        deliver=deliver,
    )
    link.subscribe([(IN, 1), ("edge/gw/cmd/+", 1)])
    link.start()
    wait_until(lambda: broker.log.count(f" {IN}\n") == 1)
    with Peer(broker.port) as machine:
        for round_ in range(10):
            machine.say(IN, *[str(n).encode() for n in range(round_ * 300, round_ * 300 + 300)])
            machine.say("edge/gw/cmd/status", b"{}")
            wait_until(lambda: commands, what="the command to come through")
            commands.clear()
            assert len(inbox) <= 100
    wait_until(lambda: inbox.counts().shed == 2900, what="the flood to be shed")
    link.stop(0.5)
    taken = inbox.take(1000, 0)
    assert [m.payload for m in taken] == [str(n).encode() for n in range(2900, 3000)]
