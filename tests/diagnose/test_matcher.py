"""The rules' likelihood: noise, order in time, twins, absences, what is not measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.config.load import validate
from edge_agent.diagnose.calibration import (
    NOTHING,
    OTHER,
    fit_in_use,
    posterior,
    shipped_calibration,
    shipped_held_out,
)
from edge_agent.diagnose.card_review import review
from edge_agent.diagnose.library import load_card
from edge_agent.diagnose.rules import LISTED, evidence_for, rank
from edge_agent.domain.card import Calibration, Card, CardFault, CardSignal
from edge_agent.domain.finding import (
    Direction,
    Finding,
    IncidentPhase,
    Origin,
    SignalEvidence,
    Window,
)
from edge_agent.errors import BadConfig


def card(*faults: CardFault, signals: tuple[str, ...] = ("flow", "pressure", "heat")) -> Card:
    known = {name: CardSignal(unit="1") for name in signals}
    return Card(equipment="rig", sample_period_s=1.0, signals=known, faults=faults)


def fault(name: str, **more: object) -> CardFault:
    return CardFault.model_validate({"id": name, "title": name, "description": name, **more})


def seen(signal: str, sigma: float, **more: object) -> SignalEvidence:
    way = Direction.NORMAL if abs(sigma) < 3 else Direction.UP if sigma > 0 else Direction.DOWN
    given = {"signal": signal, "id": f"e_{signal}", "baseline": 0.0, "now": sigma, "sigma": sigma}
    return SignalEvidence.model_validate({"direction": way, **given, **more})


def finding(*evidence: SignalEvidence, origin: Origin = Origin.MACHINE) -> Finding:
    return Finding(
        incident_id="i",
        phase=IncidentPhase.UPDATED,
        equipment="rig",
        opened_at=100.0,
        at=200.0,
        score=1.0,
        origin=origin,
        reason="test",
        window=Window(start=100.0, end=200.0),
        evidence=evidence,
        fingerprint="",
    )


FALLS = fault("falls", symptoms={"flow": "falls"})


def test_a_distance_counts_in_units_of_the_signals_own_noise() -> None:
    """A mean that hardly scatters says much with little; one that wanders says little with much."""
    one = card(FALLS)
    calm = {"direction": Direction.NORMAL}
    steady = finding(seen("flow", -1.5, noise=0.2, **calm), seen("heat", 0.1))
    wandering = finding(seen("flow", -2.9, noise=2.5, **calm), seen("heat", 0.1))
    scores = [evidence_for(one, found)["falls"] for found in (steady, wandering)]
    assert scores[0] > 2.0
    assert scores[1] < 0.5


def test_a_signal_that_is_not_measured_is_neither_for_nor_against() -> None:
    both = fault("both", symptoms={"flow": "falls", "pressure": "rises"})
    scores = evidence_for(card(FALLS, both), finding(seen("flow", -9.0), seen("heat", 0.2)))
    assert scores["both"] == pytest.approx(scores["falls"])
    absent = evidence_for(
        card(FALLS, both),
        finding(seen("flow", -9.0), seen("pressure", 0.1), seen("heat", 0.2)),
    )
    assert absent["both"] < absent["falls"], "a symptom that does not show counts against its fault"


def test_a_full_list_that_leaves_a_symptom_out_says_that_it_does_not_show() -> None:
    names = ("flow", "pressure", *(f"s{n}" for n in range(LISTED - 1)))
    both = fault("both", symptoms={"flow": "falls", "pressure": "clearly rises"})
    calm = [seen(f"s{n}", 0.2) for n in range(LISTED - 1)]
    scores = evidence_for(card(FALLS, both, signals=names), finding(seen("flow", -9.0), *calm))
    assert scores["both"] < scores["falls"] - 0.3


def test_the_stated_order_in_time_tells_faults_apart_and_equal_times_do_not() -> None:
    ways = {"flow": "falls", "heat": "rises"}
    first = fault("flow_first", symptoms=ways, order=["flow", "heat"])
    second = fault("heat_first", symptoms=ways, order=["heat", "flow"])
    one = card(first, second)

    def at(flow: float, heat: float) -> dict[str, float]:
        return evidence_for(
            one, finding(seen("flow", -9.0, since=flow), seen("heat", 9.0, since=heat))
        )

    assert at(100, 180)["flow_first"] > at(100, 180)["heat_first"] + 1.0
    assert at(180, 100)["heat_first"] > at(180, 100)["flow_first"] + 1.0
    same = at(150, 150)
    assert same["flow_first"] == pytest.approx(same["heat_first"])
    near = at(148, 150)
    assert near["flow_first"] - near["heat_first"] < 0.2, "two rows are within the error"


def test_twins_are_one_piece_of_evidence() -> None:
    hot = fault("hot", symptoms={"bearing_1": "rises", "bearing_2": "rises"})
    names = ("bearing_1", "bearing_2", "flow")
    plain = card(FALLS, hot, signals=names)
    twin = CardSignal(unit="°C", quantity="bearing temperature")
    twins = plain.model_copy(
        update={"signals": {**plain.signals, "bearing_1": twin, "bearing_2": twin}}
    )
    both = finding(seen("bearing_1", 9.0), seen("bearing_2", 9.5), seen("flow", 0.1))
    single = finding(seen("bearing_1", 9.0), seen("flow", 0.1))
    assert evidence_for(twins, both)["hot"] == pytest.approx(evidence_for(plain, single)["hot"])
    assert evidence_for(plain, both)["hot"] > evidence_for(twins, both)["hot"] + 1.0


def test_a_twin_that_strays_alone_points_at_its_sensor() -> None:
    hot = fault("hot", symptoms={"bearing_1": "rises", "bearing_2": "rises"})
    stuck = fault("stuck", symptoms={"bearing_1": "stuck"})
    twin = CardSignal(unit="°C", quantity="bearing temperature")
    one = card(hot, stuck, signals=("bearing_1", "bearing_2", "flow"))
    one = one.model_copy(update={"signals": {**one.signals, "bearing_1": twin, "bearing_2": twin}})
    alone = finding(seen("bearing_1", 20.0), seen("bearing_2", 0.3), seen("flow", 0.1))
    scores = evidence_for(one, alone)
    assert scores["stuck"] > scores["hot"]


def test_a_noisy_signal_that_also_fell_speaks_for_both() -> None:
    swings = fault("swings", symptoms={"flow": "noisy"})
    rises = fault("rises", symptoms={"flow": "rises"})
    noisy = finding(seen("flow", -12.0, direction=Direction.NOISY), seen("heat", 0.1))
    scores = evidence_for(card(FALLS, swings, rises), noisy)
    assert min(scores["falls"], scores["swings"]) > scores["rises"] + 2.0


def test_the_temperature_makes_less_sure_without_changing_the_order() -> None:
    one = card(FALLS, fault("hot", symptoms={"heat": "rises"}))
    found = finding(seen("flow", -9.0), seen("heat", 0.2))
    sharp = rank(one, found, calibration=Calibration(temperature=1.0))
    soft = rank(one, found, calibration=Calibration(temperature=5.0))
    assert sharp.faults[0][0] == soft.faults[0][0] == "falls"
    assert sharp.faults[0][1] > soft.faults[0][1]
    own = one.model_copy(update={"calibration": Calibration(temperature=5.0)})
    assert rank(own, found) == soft, "a card's own calibration counts"


def test_the_posterior_is_the_prior_where_nothing_is_known() -> None:
    by = Calibration(temperature=2.0, unknown=0.1, nothing=0.3)
    scores = {"a": 0.0, "b": 0.0, NOTHING: 0.0, OTHER: 0.0}
    chances = posterior(by, scores, {"a": 0.75, "b": 0.25})
    expected = {"a": 0.45, "b": 0.15, NOTHING: 0.3, OTHER: 0.1}
    assert chances == pytest.approx(expected)


def test_the_shipped_calibration_says_what_each_set_gives_without_itself() -> None:
    held_out = shipped_held_out()
    assert len(held_out) >= 4
    assert all(one.temperature >= 1.0 for one in held_out.values())
    if not fit_in_use():
        assert shipped_calibration() == Calibration(), "a fit that does not transfer is not used"


@pytest.mark.parametrize(
    ("order", "said"),
    [(["flow", "tide"], "no signal 'tide'"), (["flow", "flow"], "'flow' stands twice")],
)
def test_an_order_of_unknown_or_doubled_signals_is_refused(order: list[str], said: str) -> None:
    document = {
        "equipment": "rig",
        "signals": {"flow": {}},
        "faults": [{"id": "x", "title": "x", "description": "x", "order": order}],
    }
    with pytest.raises(BadConfig, match=said):
        validate(Card, document, where="card")


def test_an_order_of_a_signal_without_a_symptom_is_remarked_on() -> None:
    odd = fault("odd", symptoms={"flow": "falls"}, order=["flow", "heat"], actions=["Look."])
    assert any(one.place == "faults.odd.order" for one in review(card(odd)))


def test_a_type_hands_its_order_down_under_the_machines_names(tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "kind.toml").write_text(
        'equipment = "kind-*"\n[signals.flow]\n[signals.heat]\n[signals.noise]\n'
        '[[faults]]\nid = "x"\ntitle = "x"\ndescription = "x"\n'
        'symptoms = { flow = "falls", heat = "rises" }\norder = ["flow", "noise", "heat"]\n',
        encoding="utf-8",
    )
    (tmp_path / "mine.toml").write_text(
        'equipment = "P-1"\ntype = "kind"\n[signals.FI_1]\nis = "flow"\n[signals.TI_2]\n'
        'is = "heat"\n',
        encoding="utf-8",
    )
    assert load_card(tmp_path / "mine.toml").faults[0].order == ("FI_1", "TI_2")
