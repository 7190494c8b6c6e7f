"""A running agent's life: start the loops, watch over them, feed the watchdog, drain in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import structlog

from edge_agent import __version__
from edge_agent.casebook import Casebook
from edge_agent.config.settings import Settings
from edge_agent.errors import Unavailable
from edge_agent.govern.governor import Governor
from edge_agent.health import Health
from edge_agent.models.switch import ModelSwitch
from edge_agent.mqtt.broker import Broker
from edge_agent.publish.message import health_message
from edge_agent.sdnotify import notify
from edge_agent.store.connection import FATAL
from edge_agent.store.database import Store
from edge_agent.supervisor import Supervisor

log = structlog.get_logger(__name__)

GOVERNOR = "governor"
"""Kind and name of the governor's snapshot."""
TICK_S = 1.0
DRAIN_ORDER = ("control", "models", "adapters", "intake", "diagnosis", "publisher")
"""Shutdown follows the pipeline: first nothing comes in, last what is done goes out."""


class Ending(Enum):
    """Why the agent stopped."""

    STOPPED = "stopped"
    RESTART = "restart"
    """Settings that need a restart were applied: build the agent anew."""
    FAILED = "failed"
    """A loop died or stood still: exit non-zero and let systemd restart."""


@dataclass(frozen=True, slots=True)
class Life:
    """What must be watched over while the agent runs."""

    store: Store
    supervisor: Supervisor
    broker: Broker
    governor: Governor
    worker: ModelSwitch
    health: Health
    casebook: Casebook
    settings: Callable[[], Settings]
    """As they are in effect now."""
    wake: Callable[[], None]
    restart: threading.Event
    draining: threading.Event

    def run(self, stop: threading.Event, reload: threading.Event) -> Ending:
        """Run every loop until ``stop``; drains in the order of the pipeline before it returns.

        ``reload`` asks for the settings file to be read again, which is a restart in place.
        """
        log.info("agent_starting", agent=self.settings().agent.id, version=__version__)
        if self.store.lives.begin(time.monotonic()):
            log.warning("last_life_broke_off", times=self.store.lives.broken_off)
        if self.store.lives.crash_loop:
            log.error("crash_loop", action="detectors and rules only, until a life lasts")
        recovered = self.store.jobs.requeue_running()
        if recovered:
            log.warning("jobs_recovered", jobs=recovered)
        self.broker.start()
        halts = self.supervisor.start()
        notify("READY=1", f"STATUS=running as {self.settings().agent.id}")
        try:
            ending = self._watch(stop, reload)
        finally:
            notify("STOPPING=1")
            self._drain(halts)
        if ending is not Ending.FAILED:
            self.store.lives.end()
        return ending

    def _watch(self, stop: threading.Event, reload: threading.Event) -> Ending:
        """The supervisor's loop: the watchdog is fed only while nothing is wrong."""
        next_health = time.monotonic()
        while not stop.wait(TICK_S):
            if self.restart.is_set() or reload.is_set():
                return Ending.RESTART
            self.governor.observe_worker(self.worker.status().pid)
            self.broker.ensure_running()
            self.governor.sample()
            if self.governor.worker_must_yield():
                self.worker.give_way()
            complaint = self.complaint()
            if self.supervisor.failed.is_set():
                log.error("agent_failed", reason=complaint)
                return Ending.FAILED
            if complaint is None:
                notify("WATCHDOG=1")
            else:
                log.error("watchdog_withheld", reason=complaint)
            self.store.upkeep.turn(time.monotonic())
            if self.store.lives.steady(time.monotonic()):
                log.info("crash_loop_over")
            if time.monotonic() >= next_health:
                next_health = time.monotonic() + self.settings().health.interval_s
                self._tell_health()
        return Ending.STOPPED

    def complaint(self) -> str | None:
        """What is wrong with any thread of ours, or None."""
        if not self.broker.healthy():
            return "the network thread is dead or stands still"
        return self.supervisor.complaint()

    def _tell_health(self) -> None:
        report = self.health.report()
        try:
            self.health.write(self.settings().store.state_dir / "status.json")
            self.store.snapshots.put(GOVERNOR, GOVERNOR, self.governor.snapshot())
            self.casebook.send(health_message(self.casebook.root, report, time.time()))
        except FATAL:
            raise
        except (Unavailable, OSError) as error:
            log.warning("health_not_told", reason=str(error))

    def _drain(self, halts: Mapping[str, threading.Event]) -> None:
        """Intake first, then jobs, then what the broker still takes."""
        self.draining.set()
        grace = self.settings().agent.shutdown_grace_s
        for name in DRAIN_ORDER:
            halts[name].set()
            self.wake()
            if not self.supervisor.loop(name).join(grace):
                log.warning("loop_left_behind", loop=name, waited_s=grace)
        self.store.snapshots.put(GOVERNOR, GOVERNOR, self.governor.snapshot())
