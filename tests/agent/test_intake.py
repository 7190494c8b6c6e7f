"""What time alone brings reaches the casebook: silence and storms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest
import streams

from edge_agent import intake as module
from edge_agent.config.detect import DetectSection
from edge_agent.config.settings import Settings
from edge_agent.deadletter import DeadLetters
from edge_agent.decode.decoder import Decoder
from edge_agent.detect.detection import Detection
from edge_agent.detect.storm import EQUIPMENT
from edge_agent.domain.finding import Finding, IncidentPhase
from edge_agent.domain.job import JobState
from edge_agent.domain.telemetry import Message
from edge_agent.inbox import Inbox
from edge_agent.intake import Intake, IntakeEffects
from edge_agent.triage import job_for

MACHINES = [f"pump-{number}" for number in range(6)]


class Gateway:
    """An intake whose findings are kept."""

    def __init__(self) -> None:
        self.found: list[Finding] = []
        detection = Detection(DetectSection(learn_rows=200), lambda _: None, "gw")
        effects = IntakeEffects(
            acknowledge=lambda *_: None,
            record=self.record,
            save_snapshots=lambda _: None,
            send=lambda *_: None,
            beat=lambda: None,
        )
        decoder = Decoder(Settings().telemetry, "edge")
        letters = DeadLetters(lambda *_: None)
        inbox = Inbox(1000, 10_000_000, on_shed=lambda _: None)
        self.intake = Intake(inbox, decoder, detection, letters, effects, 60.0, "gw")

    def record(self, findings: Sequence[Finding], _learned: Mapping[str, bytes]) -> None:
        self.found += findings

    def feed(self, values: streams.Rows, start: float) -> None:
        for number, row in enumerate(values.tolist()):
            at = datetime.fromtimestamp(start + number, UTC).isoformat()
            body = {"timestamp": at, **dict(zip(streams.SIGNALS, row, strict=True))}
            payload = json.dumps(body).encode()
            batch = [Message(f"plant/{one}/telemetry", payload, start) for one in MACHINES]
            self.intake.take(batch)


@pytest.fixture
def gateway() -> Gateway:
    made = Gateway()
    made.feed(streams.rows(300), 1.7e9)
    assert made.found == []
    return made


def test_a_flood_of_incidents_is_one_storm_without_a_diagnosis_of_its_own(
    gateway: Gateway,
) -> None:
    values = streams.rows(60, seed=2)
    values[:, 0] -= 12.0
    gateway.feed(values, 1.7e9 + 300)
    opened = [one for one in gateway.found if one.phase is IncidentPhase.OPENED]
    assert sorted(one.equipment for one in opened) == [*MACHINES, EQUIPMENT]
    storm = next(one for one in opened if one.equipment == EQUIPMENT)
    assert "machines alarmed together: pump-0" in storm.reason
    limits = {"settle_s": 20.0, "expire_s": 3600.0, "now": 0.0}
    assert job_for(storm, [], per_incident=3, **limits) is None
    member = next(one for one in opened if one.equipment == "pump-0")
    job = job_for(member, [], per_incident=3, **limits)
    assert job is not None
    assert job.state is JobState.QUEUED


def test_a_machine_that_falls_silent_is_told_and_heard_again(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        now = 1000.0

        def monotonic(self) -> float:
            return self.now

        def time(self) -> float:
            return 1.7e9 + self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    gateway.intake._ticked = clock.now - module.TICK_S
    gateway.intake.take([])
    clock.now += 120.0
    gateway.intake.take([])
    silent = [one for one in gateway.found if one.phase is IncidentPhase.OPENED]
    assert {one.equipment for one in silent} >= set(MACHINES)
    gateway.found.clear()
    gateway.feed(streams.rows(3, seed=3), 1.7e9 + 500)
    closed = {one.equipment for one in gateway.found if one.phase is IncidentPhase.CLOSED}
    assert closed >= set(MACHINES)
