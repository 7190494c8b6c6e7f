"""The demonstration's run: start broker and daemon, play the machine, watch the broker."""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, RenderableType
from rich.live import Live

from edge_agent.demo.broker import RunningBroker, start_broker
from edge_agent.demo.children import Child
from edge_agent.demo.daemon import AGENT_ID, start_daemon, write_settings
from edge_agent.demo.picture import Picture
from edge_agent.demo.scenario import Scenario
from edge_agent.demo.view import cost_line, diagnosis_view, headline, live_view
from edge_agent.domain.diagnosis import Diagnosis
from edge_agent.errors import Unavailable
from edge_agent.streaming import Client, stream, telemetry_payload

FILTERS = ("edge/+/incident/+", "edge/+/diagnosis/+", "edge/+/status", "edge/+/health")
"""What an ordinary client subscribes to, besides the telemetry for the picture."""
ONLINE_S = 60.0
"""Seconds that the daemon has to say that it is online."""
LEARN_FASTER = 4.0
"""Learning is uneventful: it plays this many times faster."""
PATIENCE_S = 45.0
"""Seconds after the last row until a diagnosis that names no fault is taken as the answer."""
FRAME_S = 0.1


@dataclass(frozen=True, slots=True)
class Options:
    """How to run."""

    rows_per_second: float = 25.0
    timeout_s: float = 300.0
    plain: bool = False
    broker: str = "auto"
    keep: bool = False


class Demonstration:
    """One run. ``run`` returns the diagnosis, or None when none came in time."""

    def __init__(
        self, scenario: Scenario, options: Options, console: Console, stop: threading.Event
    ) -> None:
        self._scenario = scenario
        self._options = options
        self._console = console
        self._stop = stop
        self._arrived: queue.Queue[tuple[str, bytes]] = queue.Queue(maxsize=20_000)
        self._missed = 0
        self._picture = Picture(
            scenario.equipment, scenario.learn_rows, len(scenario.rows), scenario.fault_row
        )
        self._children: list[Child] = []
        self._failure: list[Exception] = []
        self._began = time.monotonic()
        self._told = 0

    def run(self) -> Diagnosis | None:
        """Everything, children ended whatever happens. Raises ``Unavailable`` with log lines."""
        folder = Path(tempfile.mkdtemp(prefix="edge-agent-demo-"))
        answer = None
        try:
            answer = self._run_in(folder)
        finally:
            for child in reversed(self._children):
                child.stop()
            if answer is None or self._options.keep:
                self._say(f"settings, logs and state stay in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
        return answer

    def _run_in(self, folder: Path) -> Diagnosis | None:
        broker = start_broker(folder, self._options.broker)
        self._children.append(broker.child)
        self._say(f"broker: {broker.kind} at {broker.endpoint.host}:{broker.endpoint.port}")
        watcher = Client(broker.endpoint, client_id="edge-agent-demo-view", deliver=self._deliver)
        with watcher:
            watcher.subscribe((*FILTERS, self._topic))
            settings = write_settings(
                folder, broker.endpoint, self._scenario.card_path, self._scenario.learn_rows
            )
            daemon = start_daemon(folder, settings)
            self._children.append(daemon)
            self._await_online(daemon)
            self._say(f"daemon: edge-agent run, pid {daemon.pid}, MQTT {watcher.protocol}")
            self._say(f"machine: {self._scenario.title}")
            halt = threading.Event()
            player = threading.Thread(target=self._play, args=(broker, halt), name="player")
            player.start()
            try:
                return self._watch(player)
            finally:
                halt.set()
                player.join()

    @property
    def _topic(self) -> str:
        return f"plant/{self._scenario.equipment}/telemetry"

    def _say(self, text: str) -> None:
        self._console.print(
            f"[{time.monotonic() - self._began:5.1f} s] {text}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def _deliver(self, topic: str, payload: bytes) -> None:
        """From the network thread: never blocks it."""
        try:
            self._arrived.put_nowait((topic, payload))
        except queue.Full:
            self._missed += 1

    def _take_arrived(self) -> list[str]:
        events: list[str] = []
        while True:
            try:
                topic, payload = self._arrived.get_nowait()
            except queue.Empty:
                return events
            events += self._picture.take(topic, payload)

    def _await_online(self, daemon: Child) -> None:
        deadline = time.monotonic() + ONLINE_S
        while not self._picture.online:
            daemon.check()
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"the daemon did not say within {ONLINE_S:.0f} s that it is online; its last "
                    f"lines:\n{daemon.tail()}"
                )
            if self._stop.wait(FRAME_S):
                raise Unavailable("stopped")
            self._take_arrived()

    def _play(self, broker: RunningBroker, halt: threading.Event) -> None:
        """The machine's own gateway: a client of its own, in a thread of its own."""
        scenario = self._scenario

        def paced() -> Iterator[tuple[float, int]]:
            due = 0.0
            for i in range(len(scenario.rows)):
                yield due, i
                learning = i < scenario.learn_rows
                due += 1.0 / (LEARN_FASTER if learning else 1.0)

        def send(_due: float, i: int) -> None:
            at, values = scenario.rows[i]
            client.publish(self._topic, telemetry_payload(at, values), scenario.properties)

        try:
            with Client(broker.endpoint, client_id="edge-agent-demo-machine") as client:
                stream(paced(), send, speed=self._options.rows_per_second, stop=halt)
                if not halt.is_set():
                    client.drain()
        except Unavailable as error:
            self._failure.append(error)

    def _watch(self, player: threading.Thread) -> Diagnosis | None:
        """Until the diagnosis is there, the time is up, or something broke."""
        deadline = time.monotonic() + self._options.timeout_s
        live = None if self._options.plain else Live(console=self._console, auto_refresh=False)
        reported = 0
        answer = None
        patience = self._scenario_seconds + PATIENCE_S
        if live:
            live.start()
        try:
            while time.monotonic() < deadline and not self._stop.wait(FRAME_S):
                for event in self._take_arrived():
                    self._tell(event)
                self._check()
                if live:
                    live.update(self._frame(player), refresh=True)
                elif self._picture.rows >= reported + 100:
                    reported = self._picture.rows
                    self._say(self._where_we_are())
                # Thin early evidence may leave the fault open; a later diagnosis settles it.
                waited = time.monotonic() - self._began > patience
                answer = self._picture.answer(self._scenario.onset, undetermined=waited)
                if answer is not None:
                    break
        finally:
            if live:
                live.update(self._frame(player), refresh=True)
                live.stop()
        answer = answer or self._picture.answer(self._scenario.onset, undetermined=True)
        if answer is not None:
            self._present(answer)
        return answer

    @property
    def _scenario_seconds(self) -> float:
        """How long the rows take to play."""
        learning = self._scenario.learn_rows / LEARN_FASTER
        watched = len(self._scenario.rows) - self._scenario.learn_rows
        return (learning + watched) / self._options.rows_per_second

    def _check(self) -> None:
        for child in self._children:
            child.check()
        if self._failure:
            raise self._failure[0]

    def _frame(self, player: threading.Thread) -> RenderableType:
        note = f"{time.monotonic() - self._began:.0f} s"
        if self._picture.answer(self._scenario.onset):
            note += " · the diagnosis is there"
        elif self._picture.incidents:
            note += " · waiting for the diagnosis"
        if not player.is_alive():
            note += " · all rows played"
        size = (self._console.width, self._console.height)
        return live_view(self._picture, self._scenario.card, self._header, note, size)

    @property
    def _header(self) -> str:
        label = " · SIMULATED" if self._scenario.simulated else ""
        return f"{self._scenario.card.title or self._scenario.equipment}{label}"

    def _where_we_are(self) -> str:
        p = self._picture
        if not p.learned:
            return f"learning what is normal: row {p.rows} of {p.learn_rows}"
        return f"watching: row {p.rows} of {p.total_rows}, source time {p.source_time[:19]}"

    def _tell(self, event: str) -> None:
        if event == "complaint":
            self._say(f"unreadable: {self._picture.complaints[-1]}")
        elif event == "offline":
            self._say("the agent went offline")
        elif event == "diagnosis":
            self._tell_others()
        elif event in ("opened", "updated", "closed") and (
            self._options.plain or event != "updated"
        ):
            incident = self._picture.incidents[-1]
            self._say(f"incident {event}: {incident.get('reason', '')}")

    def _tell_others(self) -> None:
        """Diagnoses beside the one that is shown at the end: of an earlier or a later picture."""
        answer = self._picture.answer(self._scenario.onset)
        for found in self._picture.diagnoses[self._told :]:
            self._told += 1
            if found is not answer:
                kind = "another diagnosis" if answer else "a first diagnosis"
                self._say(f"{kind}: {headline(found)} ({cost_line(found)})")

    def _present(self, answer: Diagnosis) -> None:
        self._console.print(diagnosis_view(answer, simulated=self._scenario.simulated))
        self._say(
            f"a valid Diagnosis arrived on edge/{AGENT_ID}/diagnosis/{answer.equipment}, "
            f"{len(self._picture.incidents)} incident(s) seen"
        )
