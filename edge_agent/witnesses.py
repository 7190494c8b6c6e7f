"""What each part of the agent says of itself, for the health report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, cast

from edge_agent.deadletter import DeadLetters
from edge_agent.govern.governor import Governor
from edge_agent.inbox import Inbox
from edge_agent.intake import Intake
from edge_agent.models.switch import ModelSwitch
from edge_agent.mqtt.broker import Broker
from edge_agent.observe.tally import Tally
from edge_agent.publish.publisher import Publisher
from edge_agent.store.database import Store
from edge_agent.supervisor import Supervisor

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Witnesses:
    """The parts that are asked."""

    agent: Callable[[], dict[str, Any]]
    supervisor: Supervisor
    broker: Broker
    inbox: Inbox
    intake: Intake
    dead_letters: DeadLetters
    store: Store
    publisher: Publisher
    governor: Governor
    worker: ModelSwitch
    tally: Tally


def sections(of: Witnesses) -> dict[str, Callable[[], dict[str, Any]]]:
    """What ``…/health`` and ``cmd/status`` say, by part."""
    return {
        "agent": of.agent,
        "loops": of.supervisor.ages,
        "mqtt": lambda: asdict(of.broker.status()),
        "intake": lambda: _intake(of),
        "decoding": of.intake.decoding,
        "equipment": lambda: cast(
            "dict[str, Any]", of.intake.ask(lambda detection: detection.status())
        ),
        "store": lambda: {
            "jobs": {str(state): count for state, count in of.store.jobs.counts().items()},
            "outbox": asdict(of.store.outbox.counts()),
            "mb": round(of.store.bytes_on_disk() / MEGABYTE, 2),
            "alarms": of.store.alarms,
            "lives_broken_off": of.store.lives.broken_off,
        },
        "publisher": lambda: asdict(of.publisher.status),
        "governor": lambda: asdict(of.governor.status()),
        "worker": lambda: asdict(of.worker.status()),
        "results": of.tally.report,
    }


def _intake(of: Witnesses) -> dict[str, Any]:
    inbox = of.inbox.counts()
    return {
        "messages": of.intake.messages,
        "readings": of.intake.readings,
        "refused": of.dead_letters.count,
        "waiting": inbox.messages,
        "shed": inbox.shed,
        "shed_by": inbox.shed_by,
    }
