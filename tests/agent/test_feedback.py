"""What operators say of incidents changes what is told next, visibly and reversibly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from findings import finding
from hypothesis import given
from hypothesis import strategies as st
from pump_cases import finding_of, pump_card

from edge_agent.casebook import Casebook
from edge_agent.config.settings import Settings, StoreSection
from edge_agent.diagnose.rules import rank
from edge_agent.feedback import MARGIN, Feedback, confirmed, muted_below, similar
from edge_agent.finding import IncidentPhase
from edge_agent.operations import FeedbackRequest, Impossible, Operations
from edge_agent.rollout.commands import CommandContext
from edge_agent.simulate.faults import FaultName
from edge_agent.store.database import Store

CONTEXT = CommandContext(now=2000.0, response_topic="", correlation_data=None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path, StoreSection(ballast_mb=0))
    yield opened
    opened.close()


@pytest.fixture
def casebook(store: Store) -> Casebook:
    return Casebook(store, Settings(), lambda _: None, lambda: None)


@pytest.fixture
def operations(store: Store) -> Operations:
    def unused(*_: object) -> Any:  # noqa: ANN401
        raise AssertionError("not asked")

    return Operations(store, unused, unused, lambda: None, lambda _: pump_card())  # type: ignore[arg-type]


def incident(name: str, phase: IncidentPhase, score: float, sequence: int = 0) -> Any:  # noqa: ANN401
    return finding(name, sequence, phase).model_copy(update={"score": score})


def told(store: Store) -> list[str]:
    return [outgoing.topic for _, outgoing in store.outbox.pending(100, 1e12)]


def test_a_false_alarm_is_not_told_again_until_it_is_worse(
    store: Store, casebook: Casebook, operations: Operations
) -> None:
    casebook.record([incident("a", IncidentPhase.OPENED, 4.0)])
    answer = operations.feedback(FeedbackRequest(incident_id="a", verdict="false_alarm"), CONTEXT)
    assert answer.muted_below == 4.0 * MARGIN
    before = len(told(store))
    casebook.record([incident("b", IncidentPhase.OPENED, 4.9)])
    casebook.record([incident("b", IncidentPhase.CLOSED, 0.5, 1)])
    assert len(told(store)) == before
    assert store.jobs.of_incident("b") == []
    assert store.counters.all()["incidents_muted"] == 1
    assert store.incidents.get("b") is not None, "kept, though not told"
    casebook.record([incident("c", IncidentPhase.OPENED, 4.9)])
    casebook.record([incident("c", IncidentPhase.UPDATED, 5.1, 1)])
    assert len(told(store)) == before + 1
    assert len(store.jobs.of_incident("c")) == 1
    casebook.record([incident("c", IncidentPhase.CLOSED, 0.5, 2)])
    assert len(told(store)) == before + 2, "who was told of it is told of its end"


def test_feedback_is_taken_back(store: Store, casebook: Casebook, operations: Operations) -> None:
    casebook.record([incident("a", IncidentPhase.OPENED, 4.0)])
    operations.feedback(FeedbackRequest(incident_id="a", verdict="expected"), CONTEXT)
    answer = operations.feedback(FeedbackRequest(incident_id="a"), CONTEXT)
    assert (answer.muted_below, answer.verdict) == (0.0, None)
    before = len(told(store))
    casebook.record([incident("b", IncidentPhase.OPENED, 2.0)])
    assert len(told(store)) == before + 1


def test_a_true_one_ends_the_muting(
    store: Store, casebook: Casebook, operations: Operations
) -> None:
    casebook.record([incident("a", IncidentPhase.OPENED, 4.0)])
    operations.feedback(FeedbackRequest(incident_id="a", verdict="false_alarm"), CONTEXT)
    casebook.record([incident("b", IncidentPhase.OPENED, 9.0)])
    later = CommandContext(now=3000.0, response_topic="", correlation_data=None)
    request = FeedbackRequest(incident_id="b", verdict="fault", fault="leak", note="gasket")
    answer = operations.feedback(request, later)
    assert (answer.muted_below, answer.confirmed) == (0.0, {"leak": 1})


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (FeedbackRequest(incident_id="x", verdict="true"), "no incident 'x'"),
        (FeedbackRequest(incident_id="a", verdict="fault"), "go together"),
        (FeedbackRequest(incident_id="a", verdict="true", fault="leak"), "go together"),
        (FeedbackRequest(incident_id="a", verdict="fault", fault="rust"), "no fault 'rust'"),
    ],
)
def test_what_cannot_be_said_is_refused(
    casebook: Casebook, operations: Operations, request_: FeedbackRequest, told: str
) -> None:
    casebook.record([incident("a", IncidentPhase.OPENED, 4.0)])
    with pytest.raises(Impossible, match=told):
        operations.feedback(request_, CONTEXT)


def word(verdict: str, fault: str | None = None, score: float = 2.0, at: float = 1.0) -> Feedback:
    return Feedback(
        incident_id=f"{verdict}-{at}",
        equipment="pump",
        fingerprints=("f",),
        verdict=verdict,  # type: ignore[arg-type]
        fault=fault,
        score=score,
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
def test_any_history_gives_a_finite_bound(verdicts: list[str]) -> None:
    history = [
        word(one, "leak" if one == "fault" else None, at=-i) for i, one in enumerate(verdicts)
    ]
    bound = muted_below(history, "f")
    assert 0.0 <= bound <= 2.0 * MARGIN
    assert muted_below(history, "other") == 0.0
    assert sum(confirmed(history).values()) == verdicts.count("fault")
    assert len(similar(history, "f")) == min(3, len(verdicts))
