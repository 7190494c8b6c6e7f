"""What operators say of incidents changes what is told next, visibly and reversibly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
import streams
from findings import finding
from hypothesis import given
from hypothesis import strategies as st
from pump_cases import finding_of, pump_card
from streams import detection, readings

from edge_agent.casebook import Casebook
from edge_agent.config.settings import Settings, StoreSection
from edge_agent.detect.detection import Detection
from edge_agent.detect.feedback import Muted, Opinion
from edge_agent.diagnose.rules import rank
from edge_agent.domain.feedback import Feedback, confirmed, similar
from edge_agent.domain.finding import Finding, IncidentPhase
from edge_agent.operations import FeedbackRequest, FreezeRequest, Impossible, Operations
from edge_agent.rollout.commands import CommandContext
from edge_agent.simulate.faults import FaultName
from edge_agent.store.database import Store

if TYPE_CHECKING:
    from edge_agent.intake import Intake

CONTEXT = CommandContext(now=2000.0, response_topic="", correlation_data=None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path, StoreSection(ballast_mb=0))
    yield opened
    opened.close()


def machine(rows: int = 700) -> Detection:
    """A machine that is learned and then leaves its ways."""
    watch = detection()
    for batch in readings(streams.rows(rows)):
        watch.observe(batch)
    return watch


def upset(watch: Detection) -> list[Finding]:
    """Its flow falls for a while."""
    values = streams.rows(60, seed=2)
    values[:, 0] -= 12.0
    start = 1_000_700.0
    return [one for batch in readings(values, start=start) for one in watch.observe(batch)]


class Plant:
    """Store, casebook, detection and the operator's commands, put together as the agent does."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.detection = machine()
        self.casebook = Casebook(store, Settings(), lambda _: None, lambda: None)
        self.saved: list[str] = []
        intake = cast("Intake", self)  # of which the operations use but ask and hear
        self.operations = Operations(store, intake, dict, lambda: None, lambda _: pump_card())

    def ask(self, question: Callable[[Detection], object]) -> object:
        return question(self.detection)

    def hear(self, equipment: str, pictures: Sequence[str], opinion: Opinion) -> dict[str, Muted]:
        for picture in pictures:
            self.detection.feedback(equipment, picture, opinion)
        self.saved += pictures
        return self.detection.muted(equipment)

    def incident(self) -> str:
        found = upset(self.detection)
        self.casebook.record(found)
        return found[0].incident_id


@pytest.fixture
def plant(store: Store) -> Plant:
    return Plant(store)


def test_what_was_expected_is_heard_no_more_until_it_is_taken_back(plant: Plant) -> None:
    name = plant.incident()
    answer = plant.operations.feedback(
        FeedbackRequest(incident_id=name, verdict="expected"), CONTEXT
    )
    assert set(answer.muted.values()) == {"expected"}
    assert plant.saved, "kept at once"
    assert [one.verdict for one in plant.store.feedback.of_equipment("pump-1")] == ["expected"]
    answer = plant.operations.feedback(FeedbackRequest(incident_id=name), CONTEXT)
    assert (answer.muted, answer.verdict) == ({}, None)
    assert plant.store.feedback.of_equipment("pump-1") == []


def test_a_named_fault_counts_and_ends_the_muting(plant: Plant) -> None:
    name = plant.incident()
    plant.operations.feedback(FeedbackRequest(incident_id=name, verdict="false_alarm"), CONTEXT)
    request = FeedbackRequest(incident_id=name, verdict="fault", fault="leak", note="gasket")
    answer = plant.operations.feedback(request, CONTEXT)
    assert (answer.muted, answer.confirmed) == ({}, {"leak": 1})


def test_a_baseline_is_held_and_released(plant: Plant) -> None:
    for on in (True, False):
        answer = plant.operations.freeze(FreezeRequest(equipment="pump-1", on=on), CONTEXT)
        assert answer.frozen is on
        assert plant.detection.status()["pump-1"].held is on
    with pytest.raises(Impossible, match="no machine 'nobody'"):
        plant.operations.freeze(FreezeRequest(equipment="nobody"), CONTEXT)


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (FeedbackRequest(incident_id="x", verdict="true"), "no incident 'x'"),
        (FeedbackRequest(incident_id="a", verdict="fault"), "go together"),
        (FeedbackRequest(incident_id="a", verdict="true", fault="leak"), "go together"),
        (FeedbackRequest(incident_id="a", verdict="fault", fault="rust"), "no fault 'rust'"),
    ],
)
def test_what_cannot_be_said_is_refused(plant: Plant, request_: FeedbackRequest, told: str) -> None:
    plant.casebook.record([finding("a", 0, IncidentPhase.OPENED)])
    with pytest.raises(Impossible, match=told):
        plant.operations.feedback(request_, CONTEXT)


def word(verdict: str, fault: str | None = None, at: float = 1.0) -> Feedback:
    return Feedback(
        incident_id=f"{verdict}-{at}",
        equipment="pump",
        fingerprints=("f",),
        verdict=verdict,  # type: ignore[arg-type]
        fault=fault,
        opened_at=at,
        given_at=at,
    )


def test_a_fault_that_operators_named_becomes_more_likely_but_never_sure() -> None:
    found = finding_of(FaultName.LEAK)
    plain = rank(pump_card(), found)
    often = rank(pump_card(), found, {"cavitation": 3})
    always = rank(pump_card(), found, {"cavitation": 10_000})
    assert plain.probability("cavitation") < often.probability("cavitation")
    assert always.faults[0][0] == "leak", "the evidence still counts"
    total = sum(p for _, p in often.faults) + often.other
    assert total == pytest.approx(1.0)


@given(st.lists(st.sampled_from(["true", "false_alarm", "expected", "fault"]), max_size=30))
def test_any_history_is_counted(verdicts: list[str]) -> None:
    history = [
        word(one, "leak" if one == "fault" else None, at=-i) for i, one in enumerate(verdicts)
    ]
    assert sum(confirmed(history).values()) == verdicts.count("fault")
    assert len(similar(history, "f")) == min(3, len(verdicts))
