"""Every card that ships is valid, complete and useful."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from edge_agent.cli.demo import CARDS
from edge_agent.config.load import read_toml, validate
from edge_agent.domain.card import SYMPTOM_WORDS, Card, symptom_parts
from edge_agent.simulate.faults import DEFAULT_SENSOR, FaultName
from edge_agent.simulate.pump import SIMULATED_EQUIPMENT
from edge_agent.simulate.sensors import SENSORS

PATHS = sorted(CARDS.rglob("*.toml"))
RECORDED = {"mixing-air-handler", "oil-well", "skab-pump", "tennessee-eastman"}
"""Cards of recorded machines: their signals are given, not chosen, and process disturbances have no
action of ours."""
OWN = [path for path in PATHS if path.stem not in RECORDED]


def direction(symptom: str) -> str:
    return SYMPTOM_WORDS[symptom_parts(symptom)[1]]


def load(name: str) -> Card:
    path = CARDS / name
    return validate(Card, read_toml(path), where=str(path))


@pytest.mark.parametrize("path", OWN, ids=lambda p: p.stem)
def test_a_card_says_what_each_fault_is_and_what_to_do(path: Path) -> None:
    card = load(str(path.relative_to(CARDS)))
    assert card.title
    assert len(card.description) > 100
    for name, signal in card.signals.items():
        assert signal.unit, name
        assert signal.meaning, name
    for fault in card.faults:
        assert len(fault.description) > 80, fault.id
        assert fault.actions, fault.id
        assert any(direction(w) != "normal" for w in fault.symptoms.values()), fault.id


@pytest.mark.parametrize("path", OWN, ids=lambda p: p.stem)
def test_no_two_faults_of_a_card_have_the_same_symptoms(path: Path) -> None:
    card = load(str(path.relative_to(CARDS)))
    for one, other in combinations(card.faults, 2):
        moved = [{s: direction(w) for s, w in fault.symptoms.items()} for fault in (one, other)]
        assert moved[0] != moved[1], (one.id, other.id)


def test_every_signal_of_a_library_card_serves_some_fault() -> None:
    for path in OWN:
        card = load(str(path.relative_to(CARDS)))
        if card.kind == "process" and path.parent.name != "library":
            continue  # the card of one real plant names all that it measures, context included
        used = {signal for fault in card.faults for signal in fault.symptoms}
        idle = set(card.signals) - used
        # Mains voltage and water temperature are context; no fault of these pumps moves them.
        assert idle <= {
            "motor_voltage",
            "fluid_temperature",
            "outdoor_temperature",
        }, (path.stem, idle)


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_every_card_is_valid_and_describes_its_machine(path: Path) -> None:
    card = load(str(path.relative_to(CARDS)))
    assert card.title
    assert len(card.description) > 100
    assert all(signal.meaning for signal in card.signals.values())
    assert all(len(fault.description) > 40 for fault in card.faults)


def test_the_simulated_pumps_card_is_about_the_simulated_pump() -> None:
    card = load("simulated-pump.toml")
    assert card.simulated
    assert card.matches(SIMULATED_EQUIPMENT)
    assert {fault.id for fault in card.faults} == {fault.value for fault in FaultName}
    assert {name: s.unit for name, s in card.signals.items()} == {
        name: s.unit for name, s in SENSORS.items()
    }
    for fault, sensor in DEFAULT_SENSOR.items():
        described = next(f for f in card.faults if f.id == fault.value)
        assert direction(described.symptoms[sensor]) != "normal"


def test_only_the_simulated_machine_is_labelled_simulated() -> None:
    simulated = [p.stem for p in PATHS if load(str(p.relative_to(CARDS))).simulated]
    assert simulated == ["simulated-pump"]
