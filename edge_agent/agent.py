"""The composition root: builds every part from the settings, runs the loops, and shuts down in
the order of the pipeline. Nothing else puts parts together."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, cast
from uuid import uuid4

import structlog

from edge_agent import __version__
from edge_agent.casebook import Casebook
from edge_agent.config.load import parse_settings, read_toml, resolve_paths
from edge_agent.config.settings import Settings
from edge_agent.control import Control
from edge_agent.deadletter import DeadLetters
from edge_agent.decode.decoder import Decoder
from edge_agent.detect.detection import Detection
from edge_agent.diagnose.library import CardLibrary
from edge_agent.diagnose.runner import DiagnosisLoop
from edge_agent.errors import EdgeAgentError
from edge_agent.govern.governor import Governor
from edge_agent.health import Health
from edge_agent.inbox import Inbox
from edge_agent.inference.client import WorkerClient
from edge_agent.intake import Intake, IntakeEffects
from edge_agent.mqtt import Broker
from edge_agent.oncall import OnCall
from edge_agent.publish.message import birth_message, reported_message, will_message
from edge_agent.publish.publisher import Publisher
from edge_agent.rollout.apply import ConfigRollout, Effects, Memory
from edge_agent.store.database import Store
from edge_agent.supervisor import Supervisor, notify
from edge_agent.telemetry import Message

log = structlog.get_logger(__name__)

BASELINE = "baseline"
"""Kind of the snapshots that hold what detection has learned."""
CONFIG = "config"
GOVERNOR = "governor"
SUBSCRIBED = "subscribed"
CONTROL_MESSAGES = 200
MEGABYTE = 1_000_000


class Ending(Enum):
    """Why the agent stopped."""

    STOPPED = "stopped"
    RESTART = "restart"
    """Settings that need a restart were applied: build the agent anew."""
    FAILED = "failed"
    """A loop died or stood still: exit non-zero and let systemd restart."""


class Agent:
    """One gateway's agent.

    ``document``: the tables of the settings file; ``base``: the folder that its relative paths are
    seen from. Raises ``BadConfig`` for settings or cards that are wrong, ``Unavailable`` where
    another instance holds the state directory.
    """

    def __init__(self, document: Mapping[str, Any], base: Path) -> None:
        self._base = base
        self._restart = threading.Event()
        self._wake = threading.Event()
        self._session = str(uuid4())
        self._started = time.time()
        own = self._validate(document)
        self.store = Store.open(own.store.state_dir, own.store)
        self._rollout = ConfigRollout(document, self._rollout_memory(), self._rollout_effects())
        self.settings = self._rollout.resume()
        self._supervisor = Supervisor()
        self._cards = CardLibrary.load(self.settings.diagnose.cards)
        self._casebook = Casebook(self.store, self.settings, self._wake.set)
        self._governor = self._build_governor()
        self._worker = self._build_worker()
        self._build_inboxes()
        self._broker = self._build_broker()
        self._intake = self._build_intake()
        self._build_diagnosis()
        self._build_publisher()
        self._build_control()

    @classmethod
    def from_file(cls, path: Path) -> Agent:
        """The agent of a settings file."""
        return cls(read_toml(path), path.resolve().parent)
