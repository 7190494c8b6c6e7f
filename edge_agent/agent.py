"""The composition root: builds every part from the settings, runs the loops, and shuts down in
the order of the pipeline. Nothing else puts parts together."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast
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
from edge_agent.detect.machine import EquipmentStatus
from edge_agent.diagnose.library import CardLibrary, idle_cards
from edge_agent.diagnose.phrases import language_note
from edge_agent.diagnose.runner import Desk, DiagnosisLoop
from edge_agent.domain.audit import DiagnosisRecord
from edge_agent.domain.card import Card
from edge_agent.domain.finding import Finding
from edge_agent.domain.job import JobState
from edge_agent.domain.telemetry import Message
from edge_agent.doorway import Doorway
from edge_agent.errors import BadPayload
from edge_agent.govern.governor import Governor
from edge_agent.health import Health
from edge_agent.inbox import Inbox
from edge_agent.intake import Intake, IntakeEffects
from edge_agent.life import GOVERNOR, Ending, Life
from edge_agent.logs.setup import bind_everywhere, configure_logs
from edge_agent.models.access import ModelAccess
from edge_agent.models.canary import CanaryCase, stored_cases
from edge_agent.models.rollouts import KINDS, Kind, Models, Surroundings, no_room
from edge_agent.mqtt.broker import Broker, FilterMemory
from edge_agent.observation import Observation, Sight
from edge_agent.observe.tally import Tally
from edge_agent.operations import Operations
from edge_agent.presence import HostPresence
from edge_agent.publish.message import reported_message, rfc3339, status_message
from edge_agent.publish.publisher import Backlog, Line, Publisher
from edge_agent.rollout.apply import ConfigRollout
from edge_agent.rollout.commands import Commands
from edge_agent.rollout.effects import Effects, Memory
from edge_agent.rounds import Rounds
from edge_agent.store.database import Store
from edge_agent.store.manuals import Manuals
from edge_agent.supervisor import Loop, Supervisor
from edge_agent.walltime import trusted
from edge_agent.witnesses import Witnesses, sections

log = structlog.get_logger(__name__)
Result = TypeVar("Result")

BASELINE = "baseline"
"""Kind of the snapshots that hold what detection has learned."""
CONFIG = "config"
CONTROL_TOPICS = ("config/desired", "model/desired", "adapter/desired", "cmd/+")
SUBSCRIBED = "subscribed"
CONTROL_MESSAGES = 200
CONTROL_MB = 8
CANARY_JOBS = 200
"""So many of the newest diagnoses are looked through for questions to a new model."""
FLUSH_S = 3.0
"""How long a stopping agent still sends what the broker takes, seconds."""
MEGABYTE = 1_000_000


class Agent:
    """One gateway's agent.

    ``document``: the tables of the settings file; ``base``: the folder that its relative paths are
    seen from. Raises ``BadConfig`` for settings or cards that are wrong, ``Unavailable`` where
    another instance holds the state directory.
    """

    def __init__(self, document: Mapping[str, Any], base: Path) -> None:
        self._base = base
        self._restart = threading.Event()
        self._draining = threading.Event()
        self._session = str(uuid4())
        self._started = time.time()
        self._started_monotonic = time.monotonic()
        own = self._validate(document)
        self.store = Store.open(own.store.state_dir, own.store)
        self._rollout = ConfigRollout(document, self._memory(CONFIG), self._rollout_effects())
        self.settings = self._rollout.resume()
        bind_everywhere(agent=self.settings.agent.id, revision=self._rollout.rollout.revision)
        self._supervisor = Supervisor()
        self._cards = _cards_of(self.settings)
        self._casebook = Casebook(self.store, self.settings, self._card_for, self._wake)
        self._governor = self._build_governor()
        self._models = self._build_models()
        self._worker = self._models.worker
        self._build_inboxes()
        self._broker = self._build_broker()
        self._presence = self._build_presence()
        self._intake = self._build_intake()
        self._build_diagnosis()
        self._build_publisher()
        self._build_control()
        self._life = Life(
            self.store,
            self._supervisor,
            self._broker,
            self._governor,
            self._worker,
            self._health,
            self._casebook,
            settings=lambda: self.settings,
            wake=self._wake,
            restart=self._restart,
            draining=self._draining,
        )

    @classmethod
    def from_file(cls, path: Path) -> Agent:
        """The agent of a settings file."""
        return cls(read_toml(path), path.resolve().parent)

    def __enter__(self) -> Agent:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- building ------------------------------------------------------------------------------

    def _validate(self, document: Mapping[str, Any]) -> Settings:
        settings = parse_settings(document, where="settings")
        settings = resolve_paths(settings, self._base)
        _cards_of(settings)
        return settings

    def _memory(self, kind: str) -> Memory:
        generations = self.store.generations
        return Memory(
            load=lambda: generations.load(kind),
            save=lambda state: generations.save(kind, state),
        )

    def _rollout_effects(self) -> Effects:
        return Effects(
            validate=self._validate,
            apply=self.apply,
            restart=self._ask_for_restart,
            report=self._report_settings,
            readings=lambda: self._intake.readings,
            no_room=self._no_room,
            notes=self._notes,
            clock_trusted=clock_trusted,
        )

    def _no_room(self, settings: Settings) -> str | None:
        reason = no_room(settings, self._governor.worker_budget_mb(settings.govern))
        return reason and f"govern.memory_mb = {settings.govern.memory_mb}: {reason}"

    def _notes(self, settings: Settings) -> list[str]:
        pushed = settings.diagnose.pushed_cards
        idle = idle_cards(pushed, self._intake.machines()) if pushed else []
        note = language_note(settings.diagnose.language)
        return [*idle, note] if note else idle

    def _report(self, kind: str, report: dict[str, Any]) -> None:
        self._casebook.send(reported_message(self._casebook.root, kind, report))

    def _report_settings(self, report: dict[str, Any]) -> None:
        bind_everywhere(revision=report.get("revision"))
        self._report(CONFIG, report)

    def _ask_for_restart(self, why: str) -> None:
        log.info("restart_asked", reason=why)
        self._restart.set()

    def _card_for(self, equipment: str) -> Card | None:
        """The card as the settings have it now, also after they changed."""
        return self._cards.for_equipment(equipment)

    def _build_governor(self) -> Governor:
        return Governor(
            self.settings.govern,
            clock=time.time,
            monotonic=time.monotonic,
            state=self.store.snapshots.get(GOVERNOR, GOVERNOR),
        )

    def _build_models(self) -> Models:
        around = Surroundings(
            settings=lambda: self.settings,
            memory=self._memory,
            memory_mb=self._governor.worker_memory_mb,
            cases=self._canary_cases,
            anchors=self._rollout.anchors,
            report=self._report,
            clock_trusted=clock_trusted,
        )
        models = Models(around)
        models.start_with(self._supervisor)
        return models

    def _canary_cases(self) -> list[CanaryCase]:
        jobs = self.store.jobs.list(CANARY_JOBS, JobState.DONE)
        return stored_cases(jobs, self._card_for, self.settings.diagnose)

    def _build_inboxes(self) -> None:
        telemetry = self.settings.telemetry

        def shed(message: Message) -> None:
            self._broker.ack(message)

        def lane_of(topic: str) -> str:
            return self._intake.lane_of(topic)

        self._inbox = Inbox(
            telemetry.inbox_messages,
            telemetry.inbox_mb * MEGABYTE,
            lane_of=lane_of,
            on_shed=shed,
        )
        self._control_inbox = Inbox(CONTROL_MESSAGES, CONTROL_MB * MEGABYTE, on_shed=shed)

    def _build_broker(self) -> Broker:
        settings = self.settings
        own = settings.topic("")
        root = self._casebook.root
        generations = self.store.generations

        def deliver(message: Message) -> None:
            ours = message.topic.startswith(own) or message.topic == settings.govern.meter_topic
            (self._control_inbox if ours else self._inbox).put(message)

        return Broker(
            settings.mqtt,
            client_id=settings.mqtt.client_id or f"edge-agent-{settings.agent.id}",
            will=status_message(root, "offline", session_id=self._session),
            birth=lambda: status_message(
                root, "online", session_id=self._session, details=self._birth_details()
            ),
            deliver=deliver,
            on_lost=lambda reason: log.warning("session_lost", reason=reason),
            filters=FilterMemory(
                load=lambda: json.loads(generations.load(SUBSCRIBED) or b"[]"),
                save=lambda filters: generations.save(SUBSCRIBED, json.dumps(filters).encode()),
            ),
        )

    def _build_presence(self) -> HostPresence | None:
        """What tells Sparkplug nodes that we are here, where the settings give us a name there."""
        mqtt, host_id = self.settings.mqtt, self.settings.telemetry.sparkplug_host_id
        client_id = mqtt.client_id or f"edge-agent-{self.settings.agent.id}"
        return HostPresence(mqtt, client_id, host_id) if host_id else None

    def _build_intake(self) -> Intake:
        settings = self.settings
        loop = self._supervisor.add("intake")
        detection = self._new_detection(settings, self._cards)
        detection.restore(self.store.snapshots.all(BASELINE))
        effects = IntakeEffects(
            acknowledge=self._broker.ack,
            record=lambda found, learned: self._record(found, learned, loop),
            save_snapshots=lambda found: self.store.snapshots.put_all(BASELINE, found),
            send=self._casebook.send,
            beat=loop.beat,
        )
        self._dead_letters = DeadLetters(self._casebook.note_dead_letter)
        decoder = self._new_decoder(settings)
        intake = Intake(
            self._inbox,
            decoder,
            detection,
            self._dead_letters,
            effects,
            settings.detect.snapshot_s,
            settings.agent.id,
        )
        loop.run = intake.run
        return intake

    def _persist(self, work: Callable[[], Result], loop: Loop) -> Result:
        """Do ``work`` durably: a full disk makes the loop wait, it does not end it."""
        return self.store.persist(work, give_up=self._draining.is_set, beat=loop.beat)

    def _record(self, found: Sequence[Finding], learned: Mapping[str, bytes], loop: Loop) -> None:
        def together() -> None:
            self._casebook.record(found)
            self.store.snapshots.put_all(BASELINE, dict(learned))

        self._persist(together, loop)
        self._observation.findings(found)

    def _finish(self, record: DiagnosisRecord, state: JobState, loop: Loop) -> None:
        self._persist(lambda: self._casebook.finish(record, state), loop)
        if record.diagnosis.trigger != "checkup":
            self._observation.diagnosis(record.diagnosis)

    def _new_decoder(self, settings: Settings) -> Decoder:
        return Decoder(settings.telemetry, settings.agent.topic_prefix, unit_of=self._cards_unit)

    def _cards_unit(self, equipment: str, signal: str) -> str | None:
        card = self._card_for(equipment)
        known = card.signals.get(signal) if card else None
        return known.unit or None if known else None

    def _new_detection(self, settings: Settings, cards: CardLibrary) -> Detection:
        return Detection(settings.detect, cards.for_equipment, settings.agent.id)

    def _build_diagnosis(self) -> None:
        loop, jobs = self._supervisor.add("diagnosis"), self.store.jobs
        access = ModelAccess(
            self._governor,
            self._worker.complete,
            answer_tokens=lambda: self.settings.diagnose.max_tokens,
            model=lambda: self._worker.status().model,
            forbidden=self._why_no_model,
        )
        manuals = Manuals(self.settings.store.state_dir, lambda: self.settings.diagnose.manuals)
        desk = Desk(
            claim=lambda: self._persist(lambda: jobs.claim(time.time()), loop),
            finish=lambda record, state: self._finish(record, state, loop),
            retry=lambda *again: self._persist(lambda: jobs.retry(*again), loop),
            put_back=lambda job: self._persist(lambda: jobs.put_back(job.id), loop),
            overtaken=lambda job: jobs.overtaken(job.priority, time.time()),
            admit=access.admit,
            charge=access.charge,
            complete=access.complete,
            history=self.store.feedback.of_equipment,
            search=manuals.search,
            beat=loop.beat,
        )
        self._diagnosis = DiagnosisLoop(
            desk, self.settings.diagnose, self._card_for, self.settings.agent.id
        )
        loop.run = self._diagnosis.run

    def _why_no_model(self) -> str:
        lives = self.store.lives
        return f"the agent broke off {lives.broken_off} times in a row" if lives.crash_loop else ""

    def _build_publisher(self) -> None:
        loop = self._supervisor.add("publisher")
        outbox, broker = self.store.outbox, self._broker
        self._publisher = Publisher(
            Backlog(pending=outbox.pending, sent=outbox.sent_all, park=outbox.park),
            Line(send=broker.publish, room=broker.room, reset=broker.reset),
            window=self.settings.publish.window,
            beat=loop.beat,
        )
        loop.run = partial(self._publisher.run, flush_s=FLUSH_S)

    def _wake(self) -> None:
        """Something was committed: the loops that live on it look at once."""
        self._publisher.notify()
        self._diagnosis.notify()

    def _build_control(self) -> None:
        loop = self._supervisor.add("control")
        tally = Tally()
        self._health = Health(
            sections(
                Witnesses(
                    self._life_facts,
                    self._supervisor,
                    self._broker,
                    self._inbox,
                    self._intake,
                    self._dead_letters,
                    self.store,
                    self._publisher,
                    self._governor,
                    self._worker,
                    tally,
                )
            )
        )
        sight = Sight(
            self._health.report,
            tally,
            states=self._machine_states,
            sessions_lost=lambda: self._broker.status().sessions_lost,
            send=self._casebook.send,
        )
        self._observation = Observation(self.settings, self.store, sight)
        operations = Operations(
            self.store,
            self._intake,
            self._health.report,
            self._wake,
            self._card_for,
            lambda: self.settings.detect,
        )
        self._rounds = Rounds(
            self._casebook,
            settings=lambda: self.settings,
            states=self._machine_states,
            current=self._current,
            card_for=self._card_for,
            wake=self._wake,
        )
        self._doorway = Doorway(self.settings.store.state_dir, operations.local)
        self._commands = Commands(
            self.settings,
            operations.commands(),
            anchors=self._rollout.anchors,
            clock_trusted=clock_trusted,
        )
        own = self.settings.topic
        meter = self.settings.govern.meter_topic
        self._control = Control(
            self._control_inbox,
            handlers={
                **({meter: self._on_meter} if meter else {}),
                own("config/desired"): self._on_desired,
                **{own(f"{kind}/desired"): partial(self._on_model, kind) for kind in KINDS},
                own("cmd/"): self._on_command,
            },
            acknowledge=self._broker.ack,
            tick=self._tick,
            beat=loop.beat,
        )
        loop.run = self._control.run

    def _machine_states(self) -> dict[str, str]:
        found = self._intake.ask(lambda detection: detection.status())
        machines = cast("dict[str, EquipmentStatus]", found)
        return {name: machine.state for name, machine in machines.items()}

    def _current(self, equipment: str) -> Finding | None:
        found = self._intake.ask(lambda detection: detection.current(equipment))
        return cast("Finding | None", found)

    def _life_facts(self) -> dict[str, Any]:
        return {
            "id": self.settings.agent.id,
            "version": __version__,
            "session_id": self._session,
            "uptime_s": round(time.monotonic() - self._started_monotonic, 1),
            "clock_trusted": clock_trusted(),
            "revision": self._rollout.rollout.revision,
        }

    def _birth_details(self) -> dict[str, Any]:
        worker = self._worker.status()
        return {
            "version": __version__,
            "started_at": rfc3339(self._started),
            "model": {"name": worker.model, "state": worker.state, "reason": worker.reason},
        }

    # --- while running -------------------------------------------------------------------------

    def run(self, stop: threading.Event, reload: threading.Event) -> Ending:
        """Run every loop until ``stop``; drains in the order of the pipeline before it returns.

        ``reload`` asks for the settings file to be read again, which is a restart in place.
        """
        self._broker.subscribe(self._filters(self.settings))
        if self._presence is not None:
            self._presence.start()
        self._observation.start()
        return self._life.run(stop, reload)

    def _tick(self) -> None:
        """What time alone moves: a revision under probation, jobs that came too late."""
        if self._presence is not None:
            self._presence.tend()
        complaint = self._life.complaint()
        if complaint is None and not self._broker.status().connected:
            complaint = "the broker is not reachable"
        self._rollout.tick(time.time(), complaint)
        self._observation.tick()
        self._rounds.tick(time.time())
        self._doorway.turn()

    def _on_desired(self, message: Message) -> None:
        self._rollout.handle_desired(message.payload, time.time())

    def _on_model(self, kind: Kind, message: Message) -> None:
        self._models.handle_desired(kind, message.payload)

    def _on_meter(self, message: Message) -> None:
        try:
            self._governor.meter(message.payload)
        except BadPayload as error:
            self._dead_letters.add(message, str(error), time.monotonic())

    def _on_command(self, message: Message) -> None:
        answer = self._commands.handle(message, time.time())
        if answer is not None:
            self._casebook.send(answer)

    def apply(self, settings: Settings) -> None:
        """Put new settings into effect between two batches. All that can fail comes first."""
        cards = _cards_of(settings)
        decoder = self._new_decoder(settings)
        fresh = self._new_detection(settings, cards)

        def rebuild(old: Detection) -> Detection:
            self.store.snapshots.put_all(BASELINE, old.snapshots())
            fresh.restore(self.store.snapshots.all(BASELINE))
            return fresh

        self._intake.swap(decoder, rebuild)
        self.settings, self._cards = settings, cards
        self._casebook.settings = settings
        self._diagnosis.use(settings.diagnose, self._card_for)
        self._governor.apply(settings.govern)
        self.store.use(settings.store)
        self._commands.use(settings)
        self._broker.subscribe(self._filters(settings))
        configure_logs(settings.log)
        log.info("settings_applied")

    def _filters(self, settings: Settings) -> list[tuple[str, int]]:
        """What the intake decodes and what steers the agent, as MQTT filters with their QoS."""
        own = [(settings.topic(name), 1) for name in CONTROL_TOPICS]
        if settings.govern.meter_topic:
            own.append((settings.govern.meter_topic, 0))
        return [*self._intake.filters, *own]

    # --- shutting down -------------------------------------------------------------------------

    def close(self) -> None:
        """Close everything, whatever fails: worker, broker (after its farewell), store."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.store.close)
            stack.callback(self._doorway.close)
            stack.callback(self._broker.stop)
            stack.callback(self._worker.close, 0.0)
            if self._presence is not None:
                stack.callback(self._presence.stop)
            stack.callback(self._observation.close)
        log.info("agent_stopped")


def _cards_of(settings: Settings) -> CardLibrary:
    """The cards of the folder and those pushed from afar. Raises ``BadConfig``."""
    return CardLibrary.load(settings.diagnose.cards, settings.diagnose.pushed_cards)


def clock_trusted() -> bool:
    """Whether the wall clock can be believed right now."""
    return trusted(time.time())
