"""Operating states: a stop is no fault, and running is compared with running."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest
from streams import Rows, detection, readings, rows

from edge_agent.config.detect import DetectSection
from edge_agent.detect.detection import Detection
from edge_agent.detect.feedback import Opinion
from edge_agent.detect.levels import separate
from edge_agent.domain.card import Card, CardSignal, CardStates
from edge_agent.domain.finding import Direction, Finding, IncidentPhase
from edge_agent.domain.telemetry import Reading
from edge_agent.simulate.faults import Fault, FaultName
from edge_agent.simulate.pump import PumpLoop

LEARN = 600
SHIFT = ((150.0, 0.0), (300.0, 0.8), (450.0, 1.0))
"""Stop at 150 s, half load at 300 s, full load at 450 s; learned from all of it."""
LATER = tuple(
    (700.0 + 200.0 * number, speed) for number, speed in enumerate((0.0, 0.8, 1.0, 0.8, 0.0, 1.0))
)


def pump(seconds: int, faults: Sequence[Fault] = (), seed: int = 5) -> list[dict[str, float]]:
    loop = PumpLoop(seed, faults, duty=(*SHIFT, *LATER))
    return [loop.step(1.0) for _ in range(seconds)]


def feed(
    watch: Detection, values: Sequence[Mapping[str, float]], first: int = 0
) -> tuple[list[Finding], list[str]]:
    """The findings, and the operating state after each row."""
    found, states = [], []
    for number, row in enumerate(values, first):
        batch = [Reading("pump", name, value, 1e6 + number) for name, value in row.items()]
        found += watch.observe(batch)
        states.append(watch.status()["pump"].operating_state)
    return found, states


def watcher(learn: int = LEARN, card: Card | None = None) -> Detection:
    return Detection(DetectSection(learn_rows=learn), lambda _name: card, "test")


@pytest.fixture(scope="module")
def shifts() -> list[dict[str, float]]:
    return pump(1900)


@pytest.mark.parametrize("seed", [5, 6])
def test_stops_and_load_levels_that_were_learned_are_no_incident(seed: int) -> None:
    found, states = feed(watcher(), pump(1900, seed=seed))
    assert found == []
    at = {number: states[number] for number in (650, 850, 1050, 1250, 1450, 1650, 1850)}
    assert list(at.values()) == [
        "load 2",
        "off",
        "load 1",
        "load 2",
        "load 1",
        "off",
        "load 2",
    ]
    assert states[LEARN - 2] == "unknown"
    assert "starting" in states[900:915]


def test_a_fault_at_the_second_load_level_is_found_there() -> None:
    fault = Fault(FaultName.OUTLET_VALVE_CLOSING, onset_s=980.0, develop_s=60.0, severity=0.6)
    found, states = feed(watcher(), pump(1095, [fault]))
    assert found[0].phase is IncidentPhase.OPENED
    assert 980 <= found[0].opened_at - 1e6 <= 1050
    assert found[0].operating_state == states[int(found[0].opened_at - 1e6)] == "load 1"
    flow = next(one for one in found[-1].evidence if one.signal == "flow")
    healthy = np.mean([row["flow"] for row in pump(970)[930:]])
    assert flow.direction is Direction.DOWN
    assert flow.baseline == pytest.approx(healthy, rel=0.03)  # of this level, not of full load


def test_a_fault_that_is_there_when_the_machine_starts_again_is_found() -> None:
    fault = Fault(FaultName.IMBALANCE, onset_s=820.0, develop_s=10.0)
    found, _ = feed(watcher(), pump(1000, [fault]))
    assert [one.operating_state for one in found[:1]] == ["load 1"]
    assert found[0].evidence[0].signal == "vibration"


@pytest.mark.parametrize("cut", [720, 705, 903, 1103])
def test_a_restart_in_any_state_or_change_changes_nothing(
    shifts: list[dict[str, float]], cut: int
) -> None:
    whole, first, second = watcher(), watcher(), watcher()
    values = shifts[:1200]
    values[1000:1200] = [row | {"vibration": row["vibration"] + 3.0} for row in values[1000:1200]]
    expected = feed(whole, values)
    before = feed(first, values[:cut])
    second.restore(first.snapshots())
    after = feed(second, values[cut:], cut)
    assert (before[0] + after[0], before[1] + after[1]) == expected
    assert expected[0]


def test_a_machine_that_keeps_to_one_state_has_none() -> None:
    watch = detection()
    for batch in readings(rows(400)):
        assert watch.observe(batch) == []
    assert watch.status()["pump-1"].operating_state == "running"
    for values in (rows(400, drift=8.0), np.cumsum(rows(400), axis=0), rows(400).round(0)):
        assert len(separate(values, None)[1]) == 1


def levels(*lengths: int) -> Rows:
    """Flow, pressure, current and temperature, in turn at one level and at another."""
    values = rows(sum(lengths))
    edges = np.cumsum((0, *lengths))
    for first, last in list(pairwise(edges))[1::2]:
        values[first:last, :3] += (-20.0, 1.5, -3.0)
    return values


def test_a_level_that_incidents_were_about_again_and_again_becomes_a_state() -> None:
    watch = detection()
    values = levels(300, *[150] * 9)
    opened, states = [], []
    for number, batch in enumerate(readings(values)):
        found = watch.observe(batch)
        opened += [number for one in found if one.phase is IncidentPhase.OPENED]
        states.append(watch.status()["pump-1"].operating_state)
    # Thrice it is told, then it is known. Going back is never an incident of its own.
    assert [(number - 300) // 150 for number in opened] == [0, 2, 4]
    assert states[1300] == "load 1"
    assert states[1400] == "load 2"


def test_a_level_that_a_person_called_a_fault_never_becomes_one() -> None:
    watch = detection()
    opened = []
    for batch in readings(levels(300, *[150] * 10)):
        for one in watch.observe(batch):
            if one.phase is IncidentPhase.OPENED:
                opened.append(one)
            watch.feedback("pump-1", one.fingerprint, Opinion.TRUE)
    assert len(opened) == 5


def test_an_expected_level_is_a_state_at_once() -> None:
    watch = detection()
    opened = []
    for number, batch in enumerate(readings(levels(300, *[150] * 5))):
        opened += [one for one in watch.observe(batch) if one.phase is IncidentPhase.OPENED]
        if number == 350:
            current = watch.current("pump-1")
            assert current is not None
            watch.feedback("pump-1", current.fingerprint, Opinion.EXPECTED)
    assert len(opened) == 1


CARD = Card(
    equipment="pump",
    signals={"run": CardSignal(), "flow": CardSignal(normal=(80.0, 200.0))},
    states=CardStates(signal="run", names={"0": "off", "1": "running", "2": "half load"}),
)


def coded(values: list[dict[str, float]]) -> list[dict[str, float]]:
    """The pump with a signal that says what the drive was told to do."""
    said = []
    for number, row in enumerate(values):
        speed = next((to for start, to in reversed((*SHIFT, *LATER)) if number >= start), 1.0)
        said.append(row | {"run": {0.0: 0.0, 1.0: 1.0, 0.8: 2.0}[speed]})
    return said


def test_a_signal_of_the_card_says_the_state_though_it_was_never_learned(
    shifts: list[dict[str, float]],
) -> None:
    """Learned from full load alone: each state is learned when the signal first says it."""
    found, states = feed(watcher(140, CARD), coded(shifts))
    assert found == []
    assert [states[at] for at in (145, 290, 440, 600, 850, 1050)] == [
        "running",
        "off",
        "half load",
        "running",
        "off",
        "half load",
    ]


def test_a_fault_in_a_state_that_the_signal_says_is_found() -> None:
    fault = Fault(FaultName.OUTLET_VALVE_CLOSING, onset_s=980.0, develop_s=60.0, severity=0.6)
    found, _ = feed(watcher(140, CARD), coded(pump(1095, [fault])))
    assert found[0].operating_state == "half load"
    assert 980 <= found[0].opened_at - 1e6 <= 1060


def test_a_state_signal_that_the_card_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"states\.signal: no signal 'run'; the card has: flow"):
        Card(equipment="p", signals={"flow": CardSignal()}, states=CardStates(signal="run"))


def test_codes_in_the_card_must_be_numbers() -> None:
    with pytest.raises(ValueError, match=r"names\.off"):
        CardStates(signal="run", names={"off": "0"})
