"""Every fault of the simulated pump is noticed, and the rules name it from the card alone."""

from __future__ import annotations

import pytest

from edge_agent.cli.demo import CARDS
from edge_agent.config.detect import DetectSection
from edge_agent.config.load import read_toml, validate
from edge_agent.detect.detection import Detection
from edge_agent.diagnose.rules import rank
from edge_agent.domain.card import Card
from edge_agent.domain.finding import Finding, IncidentPhase
from edge_agent.domain.telemetry import Reading
from edge_agent.simulate.faults import Fault, FaultName
from edge_agent.simulate.pump import SIMULATED_EQUIPMENT, pump_rows

ONSET = 500.0
PATH = CARDS / "simulated-pump.toml"
CARD = validate(Card, read_toml(PATH), where=str(PATH))


def findings(fault: FaultName | None, seconds: float, seed: int = 3) -> list[Finding]:
    detection = Detection(DetectSection(), lambda _: CARD, "gateway")
    faults = [Fault(fault, ONSET, 30.0)] if fault else []
    found = []
    for at, values in pump_rows(faults, seed=seed, rate=1.0, duration=seconds):
        found += detection.observe(
            [Reading(SIMULATED_EQUIPMENT, name, value, at) for name, value in values.items()]
        )
    return found


@pytest.mark.parametrize("fault", FaultName, ids=str)
def test_a_fault_opens_one_incident_and_is_named(fault: FaultName) -> None:
    found = findings(fault, ONSET + 250.0)
    assert [f.phase for f in found].count(IncidentPhase.OPENED) == 1
    assert found[0].opened_at >= ONSET
    best, probability = rank(CARD, found[-1]).faults[0]
    assert best == fault.value
    assert probability > 0.35


def test_the_healthy_pump_opens_no_incident_within_an_hour() -> None:
    assert findings(None, 3600.0) == []
