"""Findings of the simulated pump, and jobs made of them."""

from __future__ import annotations

from functools import cache

from plant import REPOSITORY

from edge_agent.config.detect import DetectSection
from edge_agent.detect.detection import Detection
from edge_agent.diagnose.library import load_card
from edge_agent.domain.card import Card
from edge_agent.domain.completion import Completion, ModelIdentity
from edge_agent.domain.finding import Finding, IncidentPhase
from edge_agent.domain.job import Job, job_id_for
from edge_agent.domain.telemetry import Reading
from edge_agent.simulate.faults import Fault, FaultName
from edge_agent.simulate.pump import PumpLoop

CARD = REPOSITORY / "configs" / "equipment" / "simulated-pump.toml"


@cache
def pump_card() -> Card:
    return load_card(CARD)


@cache
def finding_of(fault: FaultName, seed: int = 7) -> Finding:
    """The last update of the incident that a fault opens within two minutes of its onset."""
    loop = PumpLoop(seed, [Fault(fault, onset_s=300, develop_s=60)])
    watch = Detection(DetectSection(learn_rows=200), lambda _name: pump_card(), "gw")
    found = [
        finding
        for second in range(480)
        for finding in watch.observe(
            [
                Reading("simulated-pump", signal, value, 1.7e9 + second)
                for signal, value in loop.step(1.0).items()
            ]
        )
    ]
    return [one for one in found if one.phase is IncidentPhase.UPDATED][-1]


def job_of(finding: Finding, **changes: object) -> Job:
    job = Job(
        id=job_id_for(finding),
        incident_id=finding.incident_id,
        equipment=finding.equipment,
        finding=finding,
        attempts=1,
        created_at=1.0e9,
    )
    return job.model_copy(update=changes)


def completion(text: str, probabilities: dict[str, float] | None = None) -> Completion:
    return Completion(
        text=text,
        probabilities={"fault": probabilities or {}},
        tokens_in=500,
        tokens_cached=300,
        tokens_out=40,
        tokens_forced=10,
        seconds=1.0,
        prefill_seconds=0.4,
        decode_seconds=0.6,
        cpu_seconds=2.0,
        model=ModelIdentity(name="scripted", sha256="0" * 64, tier="embedded"),
    )
