"""What an explanation may say, in English and in German, and cards in other languages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pump_cases import completion, finding_of, job_of, pump_card

from edge_agent.config.diagnose import DiagnoseSection
from edge_agent.config.load import validate
from edge_agent.diagnose.claims import contradicted, verified
from edge_agent.diagnose.lexicon import GERMAN as GERMAN_WORDS
from edge_agent.diagnose.library import load_card
from edge_agent.diagnose.making import diagnosis_of, ranking_of, request_of
from edge_agent.diagnose.phrases import ENGLISH, GERMAN, LANGUAGES, language_note
from edge_agent.diagnose.program import program
from edge_agent.diagnose.translation import translated
from edge_agent.diagnose.wording import deviating, deviation
from edge_agent.domain.audit import Circumstances
from edge_agent.domain.card import Card, CardFault, CardSignal, CardTexts, FaultTexts
from edge_agent.domain.completion import Completion
from edge_agent.domain.diagnosis import Diagnosis
from edge_agent.domain.finding import (
    Direction,
    Finding,
    IncidentPhase,
    Shape,
    SignalEvidence,
    Window,
)
from edge_agent.domain.level import Allowance, Level, Spent
from edge_agent.errors import BadConfig
from edge_agent.simulate.faults import FaultName

START = 1_793_500_000.0
"""02:26:40 UTC."""


def evidence(number: int, signal: str, baseline: float, now: float, **more: object):  # type: ignore[no-untyped-def]
    change = now - baseline
    calm = abs(change) < 1e-9
    ways = Direction.NORMAL if calm else (Direction.UP if change > 0 else Direction.DOWN)
    values = {
        "id": f"e{number}",
        "signal": signal,
        "baseline": baseline,
        "now": now,
        "sigma": 0.0 if calm else 7.5 * (1 if change > 0 else -1),
        "direction": ways,
        "since": None if calm else START + 10 * number,
        "shape": Shape.UNKNOWN if calm else Shape.STEP,
    }
    return SignalEvidence.model_validate(values | more)


FINDING = Finding(
    incident_id="i",
    phase=IncidentPhase.UPDATED,
    equipment="pump-1",
    opened_at=START,
    at=START + 1210.0,
    score=3.0,
    reason="flow fell",
    window=Window(start=START, end=START + 1210.0),
    evidence=(
        evidence(1, "flow", 120.25, 96.5, unit="L/min"),
        evidence(2, "discharge_pressure", 2.1, 2.85, unit="bar"),
        evidence(3, "vibration", 1.1, 1.1, unit="mm/s"),
    ),
    fingerprint="f",
)
CARD = Card(
    equipment="pump-1",
    title="Feed pump",
    signals={
        "flow": CardSignal(unit="L/min"),
        "discharge_pressure": CardSignal(unit="bar"),
        "vibration": CardSignal(unit="mm/s"),
    },
    faults=(
        CardFault(
            id="closed_valve",
            title="Outlet valve closing",
            description="The outlet valve closes. The flow falls and the discharge pressure rises.",
            symptoms={"flow": "falls", "discharge_pressure": "rises", "vibration": "unchanged"},
            actions=("Open the outlet valve.",),
        ),
        CardFault(
            id="worn_bearing",
            title="Worn bearing",
            description="The bearing is worn and the vibration rises.",
            symptoms={"vibration": "rises"},
            actions=("Replace the bearing.",),
        ),
    ),
    translations={
        "de": CardTexts(
            title="Speisepumpe",
            signals={"flow": "Durchfluss", "discharge_pressure": "Enddruck"},
            faults={
                "closed_valve": FaultTexts(
                    title="Auslassventil schließt",
                    description="Das Auslassventil schließt. Der Durchfluss fällt, der Enddruck"
                    " steigt.",
                    actions=("Auslassventil öffnen.",),
                )
            },
        ),
        "fr": CardTexts(title="Pompe", faults={"closed_valve": FaultTexts(title="Vanne fermée")}),
    },
)


@pytest.mark.parametrize(
    "sentence",
    [
        "The flow fell and the discharge pressure rose.",
        "The flow [e1] fell from 120.2 to 96.5 L/min, while the discharge pressure [e2] rose.",
        "The flow fell by 23.8 L/min.",
        "The flow fell by 7.5 sigma.",
        "The discharge pressure rose to 2.85 bar and the vibration stayed as usual.",
        "At 02:26:50 UTC the flow fell.",
        "The flow fell at 02:26.",
        "The flow fell before the discharge pressure rose.",
        "The discharge pressure rose after the flow fell.",
        "Since 20 minutes the flow is lower.",
        "The flow fell suddenly.",
    ],
)
def test_what_is_true_stands(sentence: str) -> None:
    assert verified(sentence, FINDING, CARD, CARD.faults[0]) == sentence


@pytest.mark.parametrize(
    ("sentence", "why"),
    [
        ("The flow rose and the discharge pressure fell.", "both swapped"),
        ("The flow did not fall.", "denied"),
        ("The flow fell, never the discharge pressure rose.", "denied"),
        ("The flow fell from 96.5 to 120.2 L/min.", "from and to swapped"),
        ("The flow fell to 2.85 L/min.", "another signal's number"),
        ("The flow fell to 96.5 bar.", "another signal's unit"),
        ("The flow fell by 96.5 L/min.", "the value as the difference"),
        ("The flow fell to 7.5 L/min.", "sigma as a value"),
        ("The flow fell to -96.5 L/min.", "the wrong sign"),
        ("The flow fell to 96,5 L/min.", "a decimal comma is no English number"),
        ("At 09:15 UTC the flow fell.", "a time of its own"),
        ("At 02:26 pm the flow fell.", "another half of the day"),
        ("The flow fell 5 minutes ago.", "a stretch of time of its own"),
        ("The flow is lower since 3 hours.", "a stretch of time of its own"),
        ("The flow fell after the discharge pressure rose.", "the wrong order"),
        ("The discharge pressure rose, then the flow fell.", "the wrong order"),
        ("The flow fell slowly.", "it was a step"),
        ("The flow fell and the vibration is high.", "high is a claim"),
        ("The flow fell because the bearing is worn.", "another fault's cause"),
        ("The flow fell by three bars.", "a number in words"),
        ("The flow fell due to hot oil.", "a short word of its own"),
        ("The discharge pressure and the vibration rose.", "one of two is wrong"),
        ("The flow fell on 2026-11-01.", "a date"),
    ],
)
def test_what_is_false_or_unchecked_falls(sentence: str, why: str) -> None:
    assert verified(sentence, FINDING, CARD, CARD.faults[0]) == "", why


def german() -> Card:
    card = made(language="de").card
    assert card is not None
    return translated(card, "de")


@pytest.mark.parametrize(
    "sentence",
    [
        "Der Durchfluss fiel und der Enddruck stieg.",
        "Der Durchfluss [e1] fiel von 120,2 auf 96,5 L/min.",
        "Der Durchfluss fiel um 23,8 L/min.",
        "Seit 20 Minuten ist der Durchfluss niedriger.",
        "Um 02:26 Uhr fiel der Durchfluss.",
    ],
)
def test_what_is_true_in_german_stands(sentence: str) -> None:
    card = german()
    assert verified(sentence, FINDING, card, card.faults[0], GERMAN_WORDS) == sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "Der Durchfluss stieg und der Enddruck fiel.",
        "Der Durchfluss fiel nicht.",
        "Kein Durchfluss fiel.",
        "Der Durchfluss fiel auf 96.5 L/min.",
        "Der Durchfluss fiel auf 965 L/min.",
        "Der Durchfluss fiel auf 96,5 bar.",
        "Seit 5 Minuten ist der Durchfluss niedriger.",
        "Um 09:15 Uhr fiel der Durchfluss.",
        "Der Durchfluss fiel allmählich.",
        "Der Durchfluss fiel, öffnen Sie alle Ventile.",
    ],
)
def test_what_is_false_in_german_falls(sentence: str) -> None:
    card = german()
    assert verified(sentence, FINDING, card, card.faults[0], GERMAN_WORDS) == ""


def made(language: str = "en", finding: Finding = FINDING, card: Card = CARD) -> Circumstances:
    return Circumstances(
        agent_id="gw",
        created_at="2026-11-01T00:00:00Z",
        job=job_of(finding),
        card=card,
        settings=DiagnoseSection(language=language),
        allowance=Allowance(Level.FULL, "test"),
        program=program(),
    )


def concluded(given: Circumstances, answer: Completion | None = None) -> Diagnosis:
    return diagnosis_of(
        given, ranking_of(given), answer, "no model", Spent(0.0, 0.0, 0.0, measured=False)
    )


def test_german_sentences_labels_actions_and_decimal_signs() -> None:
    diagnosis = concluded(made("de"))
    assert diagnosis.language == "de"
    assert diagnosis.fault is not None
    assert diagnosis.fault.title == "Auslassventil schließt"
    assert diagnosis.recommended_actions == ("Auslassventil öffnen.",)
    assert "Durchfluss fiel von 120,2 auf 96,5 L/min [e1]" in diagnosis.explanation
    assert "Dazu passt: Auslassventil schließt." in diagnosis.explanation
    assert diagnosis.evidence == FINDING.evidence  # numbers for programs stay numbers


def test_a_model_is_asked_for_german_and_checked_in_german() -> None:
    given = made("de")
    request = request_of(given, ranking_of(given))
    assert request is not None
    assert "Write in German." in request.system
    assert "Durchfluss fiel von 120,2" in request.question
    said = "Der Durchfluss fiel auf 96,5 L/min. Der Enddruck fiel."
    diagnosis = concluded(given, completion(json.dumps({"explanation": said})))
    assert diagnosis.explanation.endswith("Der Durchfluss fiel auf 96,5 L/min.")


def test_another_language_falls_back_to_english_sentences_and_keeps_the_cards_words() -> None:
    diagnosis = concluded(made("fr"))
    assert diagnosis.language == "en"
    assert "flow fell from 120.2 to 96.5 L/min" in diagnosis.explanation
    assert "This fits: Vanne fermée." in diagnosis.explanation
    assert "English" in language_note("fr")
    assert [language_note(one) for one in LANGUAGES] == ["", ""]


def test_ranking_is_the_same_in_every_language() -> None:
    assert ranking_of(made("de")) == ranking_of(made("en"))


@pytest.mark.parametrize(
    ("texts", "place"),
    [
        ({"signals": {"level": "Pegel"}}, "translations.de.signals"),
        ({"faults": {"rust": {"title": "Rost"}}}, "translations.de.faults"),
        ({"faults": {"closed_valve": {"actions": ["a", "b"]}}}, "closed_valve.actions"),
    ],
)
def test_a_translation_of_what_the_card_has_not_is_refused(
    texts: dict[str, object], place: str
) -> None:
    document = CARD.model_dump(mode="json", exclude_unset=True)
    with pytest.raises(BadConfig, match=place):
        validate(Card, {**document, "translations": {"de": texts}}, where="card.toml")


def test_a_types_translations_come_under_the_machines_names(tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "pump.toml").write_text(
        """
equipment = "pump"
[signals.flow]
[signals.vibration]
[[faults]]
id = "a"
title = "A"
description = "The flow falls."
[[faults]]
id = "b"
title = "B"
description = "The vibration rises."
[translations.de.signals]
flow = "Durchfluss"
vibration = "Schwingung"
[translations.de.faults.a]
title = "Ah"
[translations.de.faults.b]
title = "Be"
""",
        encoding="utf-8",
    )
    (tmp_path / "p.toml").write_text(
        'equipment = "p"\ntype = "pump"\nwithout = ["b"]\n[signals.FI1]\nis = "flow"\n'
        '[translations.de]\ntitle = "Pumpe"\n',
        encoding="utf-8",
    )
    texts = load_card(tmp_path / "p.toml").translations["de"]
    assert (texts.title, texts.signals) == ("Pumpe", {"FI1": "Durchfluss"})
    assert {name: one.title for name, one in texts.faults.items()} == {"a": "Ah"}


def test_a_card_sentence_that_the_evidence_contradicts_is_not_offered() -> None:
    flat = (FINDING.evidence[0], evidence(2, "discharge_pressure", 2.1, 2.1, unit="bar"))
    finding = FINDING.model_copy(update={"evidence": flat})
    assert contradicted("The flow falls and the discharge pressure rises.", finding, CARD)
    assert not contradicted("The flow falls.", finding, CARD)
    answer = completion(
        json.dumps({"why": "The flow falls and the discharge pressure rises.", "explanation": ""})
    )
    assert "pressure rises" not in concluded(made(finding=finding), answer).explanation
    assert "pressure rises" in concluded(made(), answer).explanation


def test_undetermined_says_what_would_tell_the_candidates_apart() -> None:
    away = evidence(1, "flow", 120.0, 121.0, unit="L/min", direction=Direction.NOISY, sigma=0.5)
    finding = FINDING.model_copy(update={"evidence": (away, FINDING.evidence[2])})
    given = made(finding=finding)
    careful = given.settings.model_copy(update={"undetermined_below": 0.99})
    diagnosis = concluded(given.model_copy(update={"settings": careful}))
    assert diagnosis.verdict == "undetermined"
    assert diagnosis.recommended_actions == ()
    assert diagnosis.look_at
    assert set(diagnosis.look_at) <= set(CARD.signals)
    assert "Candidates: " in diagnosis.explanation
    assert "to tell them apart" in diagnosis.explanation


def test_a_checkup_says_that_nothing_deviates_or_what_drifts() -> None:
    calm = tuple(
        one.model_copy(update={"direction": Direction.NORMAL, "sigma": 0.4, "since": None})
        for one in FINDING.evidence
    )
    quiet = made(finding=FINDING.model_copy(update={"evidence": calm}))
    quiet = quiet.model_copy(update={"job": quiet.job.model_copy(update={"trigger": "checkup"})})
    diagnosis = concluded(quiet)
    assert diagnosis.explanation == "Check-up: nothing deviates; signals looked at: 3."
    assert (diagnosis.trigger, diagnosis.severity.value) == ("checkup", "info")
    drifting = made()
    drifting = drifting.model_copy(
        update={"job": drifting.job.model_copy(update={"trigger": "checkup"})}
    )
    told = concluded(drifting)
    assert told.explanation.startswith(
        "Check-up without an incident. Since 02:26:50 UTC: flow fell"
    )
    assert told.fault is not None


def test_the_simulated_pumps_own_sentences_stand_in_both_languages() -> None:
    """What code composes passes the check that it makes of the model's words."""
    for fault in FaultName:
        finding = finding_of(fault)
        card = pump_card()
        for one in deviating(finding):
            if one.direction in (Direction.UP, Direction.DOWN):
                english = f"{deviation(one, card, ENGLISH)}."
                assert verified(english, finding, card) == english
                deutsch = f"{deviation(one, card, GERMAN)}."
                assert verified(deutsch, finding, card, None, GERMAN_WORDS) == deutsch
