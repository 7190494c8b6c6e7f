"""The composition root: builds every part from the settings, runs the loops, and shuts down in
the order of the pipeline. Nothing else puts parts together."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import structlog

from edge_agent import __version__
from edge_agent.casebook import Casebook
from edge_agent.config.settings import Settings
from edge_agent.control import Control
from edge_agent.deadletter import DeadLetters
from edge_agent.decode.decoder import Decoder
from edge_agent.detect.detection import Detection
from edge_agent.diagnose.library import CardLibrary
from edge_agent.diagnose.runner import DiagnosisLoop
from edge_agent.errors import BadConfig, Unavailable
from edge_agent.govern.governor import Governor
from edge_agent.health import Health
from edge_agent.inbox import Inbox
from edge_agent.inference.client import WorkerClient
from edge_agent.intake import Intake, IntakeEffects
from edge_agent.mqtt import Broker
from edge_agent.publish.message import birth_message, health_message, will_message
from edge_agent.publish.publisher import Publisher
from edge_agent.rollout.apply import ConfigRollout
from edge_agent.rollout.commands import Commands
from edge_agent.store.database import Store
from edge_agent.supervisor import Supervisor, notify
from edge_agent.telemetry import Message

log = structlog.get_logger(__name__)


CONTROL_INBOX = (200, 8)
"""Bound on waiting control messages: (messages, megabytes)."""
SNAPSHOT_KIND = "baseline"
ROLLOUT_KEY = "config"
GOVERNOR_KEY = "governor"


class Ending(Enum):
    """Why the agent stopped."""

    STOPPED = "stopped"
    RESTART = "restart"
    """Settings that need a restart were applied: build the agent anew."""
    FAILED = "failed"
    """A loop died or stood still: exit non-zero and let systemd restart."""


class Agent:
    """One gateway's agent. ``document``: the tables of the settings file; ``base``: the folder
    that its relative paths are seen from.

    Raises ``BadConfig`` for settings or cards that are wrong, ``Unavailable`` where another
    instance holds the state directory.
    """

    def __init__(self, document: Mapping[str, Any], base: Path) -> None:
        self._base = base
        own = self._validate(document)
        self._wake = threading.Event()
        self._ending: Ending | None = None
        self.store = Store.open(own.store.state_dir / "edge-agent.db", own.store)
        self._rollout = ConfigRollout(document, self._rollout_memory(), self._rollout_effects())
        self.settings = self._rollout.resume()
        self._cards = CardLibrary.load(self.settings.diagnose.cards)
        self._supervisor = Supervisor()
        self._casebook = Casebook(self.store, self.settings, self._wake.set)
        self._build_broker()
        self._build_intake()
        self._build_diagnosis()
        self._build_control()
