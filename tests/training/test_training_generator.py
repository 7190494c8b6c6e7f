"""The generator: what it writes is labelled truly, and what is held out stays out."""

from __future__ import annotations

import random
import re
from itertools import islice

import pytest

from edge_agent.diagnose.fault_reading import SIGNAL_WORDS, SPEED_WORDS
from training.generate import card, cards, fault, source
from training.labels import dress, reference
from training.machines import Machine, machines
from training.phrases import DIRECTIONS, Form, inflect, load
from training.reading import Card, best
from training.spoil import spoil
from training.statements import HEDGED, Speaker, Symptom

KEPT_WORDS = {
    *("the", "of", "in", "at", "its", "a", "with", "by", "be", "is", "are", "up", "down", "and"),
    *("back", "forth", "between", "around", "than", "normal", "value", "single", "reading", "make"),
    *(
        "target",
        "build",
        "no",
        "to",
        "it",
        "not",
        "does",
        "do",
        "old",
        "as",
        "for",
        "effect",
        "has",
    ),
    *("together", "on", "off", "x", "out", "nothing", "large", "fall", "level", "show", "peak"),
}


def _stems(phrases: list[str]) -> set[str]:
    text = " ".join(inflect(phrase, Form.SEVERAL) for phrase in phrases).lower()
    words = {word for word in re.findall(r"[a-z]{2,}", text) if word not in KEPT_WORDS}
    return {word[:5] for word in words}


def test_forty_types_to_train_on_and_eight_that_are_not() -> None:
    train, held = machines(held=False), machines(held=True)
    assert len(train) >= 40
    assert len(held) >= 8
    assert not {one.name for one in train} & {one.name for one in held}
    assert all(len(one.signals) >= 5 and len(one.parts) >= 5 for one in (*train, *held))


@pytest.mark.parametrize("way", DIRECTIONS)
def test_verbs_held_out_share_no_stem_with_those_trained_on(way: str) -> None:
    train = _stems(list(load(held=False).ways[way]["verbs"]))
    held = _stems(list(load(held=True).ways[way]["verbs"]))
    shared = train & held
    assert len(shared) <= 0.25 * len(held), shared


def test_each_direction_has_several_dozen_phrasings() -> None:
    bank = load(held=False)
    for way in ("up", "down", "same"):
        assert len(bank.ways[way]["verbs"]) >= 40
    assert all(len(bank.ways[way]["verbs"]) >= 20 for way in DIRECTIONS)


def test_the_same_seed_gives_the_same_cards_and_another_does_not() -> None:
    first, again = (list(islice(cards(source(), 4), 3)) for _ in range(2))
    assert first == again
    assert first != list(islice(cards(source(), 5), 3))


@pytest.mark.parametrize("held", [False, True])
def test_every_card_is_whole(held: bool) -> None:
    origin = source(held_machines=held, held_phrases=held)
    for one in islice(cards(origin, 9), 40):
        assert len(set(one.labels)) == len(one.labels) >= 3
        for text in one.faults:
            assert len(text.signals) == len(one.labels)
            assert text.text.strip()
            assert not re.search(r"[\[\]{}|]", text.text), text.text
            for target in text.signals:
                assert sum(target.values()) == pytest.approx(1.0)
                assert set(target) <= set(SIGNAL_WORDS)
            assert set(text.speed) <= set(SPEED_WORDS)


def _clauses(way: str, hedged: bool = False) -> list[str]:
    bank, rng = load(held=False), random.Random(3)
    signals = dress(("flow", "oil level"), bank, rng)
    speaker = Speaker(signals, bank, rng)
    return [speaker.clause(Symptom((0,), way, hedged)) for _ in range(200)]


def test_a_clause_names_its_signal_and_its_direction() -> None:
    names = load(held=False).quantities["flow"]["alone"]
    assert "delivery" in names
    assert all(any(name in clause for name in names) for clause in _clauses("up"))
    assert not any(re.search(r"\b(falls|drops|decreases)\b", clause) for clause in _clauses("up"))
    assert not any(re.search(r"\b(rises|climbs)\b", clause) for clause in _clauses("down"))


def test_a_hedged_symptom_keeps_its_direction_and_gives_a_part_to_none() -> None:
    symptom = Symptom((0,), "up", hedged=True)
    assert symptom.target == {"up": HEDGED, "none": 1 - HEDGED}
    assert best(symptom.target) == "up"
    hedges = (
        "may",
        "can",
        "might",
        "could",
        "possibl",
        "some cases",
        "sometimes",
        "occasion",
        "high",
        "perhaps",
        "at times",
        "in some machines",
        "depending on",
    )
    assert all(any(h in clause.lower() for h in hedges) for clause in _clauses("up", hedged=True))


def test_what_nobody_mentions_is_none_and_the_rest_that_stays_is_same() -> None:
    machine = Machine("m", ("flow", "oil level", "motor current", "room humidity"), ("valve",))
    bank, rng = load(held=False), random.Random(1)
    signals = dress(machine.signals, bank, rng)
    seen = set()
    for _ in range(300):
        text = fault(machine, signals, bank, rng)
        rest = any(phrase.lower()[:14] in text.text.lower() for phrase in bank.text["rests"])
        if rest and all(len(target) == 1 for target in text.signals):
            seen |= {best(target) for target in text.signals}
            assert "none" not in {best(target) for target in text.signals}
    assert "same" in seen


def test_forms_of_a_phrase() -> None:
    assert inflect("[is|are|be] low", Form.ONE) == "is low"
    assert inflect("[is|are|be] low", Form.BARE) == "be low"
    assert inflect("rise[s]", Form.ONE) == "rises"
    assert inflect("go[es|] up", Form.SEVERAL) == "go up"
    assert inflect("var[ies|y]", Form.BARE) == "vary"


def test_a_reference_among_several_of_one_quantity_names_the_place() -> None:
    bank, rng = load(held=False), random.Random(2)
    signals = dress(("bearing temperature", "motor temperature", "flow"), bank, rng)
    for _ in range(100):
        assert "bearing" in reference(signals[0], signals, bank, rng)


def test_spoiling_keeps_words_that_mean_a_direction() -> None:
    rng = random.Random(5)
    text = "The flow never rises. The level is unchanged and lower."
    for _ in range(200):
        spoiled = spoil(text, rng, share=1.0).lower()
        assert "never" in spoiled
        assert "rises" in spoiled
        assert "unchanged" in spoiled


def test_no_label_is_the_word_that_asks_for_the_speed() -> None:
    for origin in (source(), source(held_machines=True)):
        for one in islice(cards(origin, 2), 60):
            assert isinstance(one, Card)
            assert "speed" not in one.labels


def test_cards_of_one_machine_only_say_what_it_has() -> None:
    one = card(source(), random.Random(8))
    names = {m.name for m in machines(held=False)}
    assert one.machine in names


def _twins() -> tuple[Speaker, tuple[Symptom, Symptom]]:
    bank, rng = load(held=False), random.Random(4)
    signals = dress(("motor vibration", "vibration before the filter", "flow"), bank, rng)
    return Speaker(signals, bank, rng), (Symptom((0,), "up"), Symptom((1,), "down"))


def test_twins_that_part_are_told_by_their_places() -> None:
    speaker, pair = _twins()
    told = [speaker.split(*pair) for _ in range(60)]
    assert any(told)
    for clause in filter(None, told):
        assert clause.index("motor") < clause.index("before the filter")
        assert not re.search(r"[{}]", clause)


def test_what_is_no_pair_of_twins_is_not_told_as_one() -> None:
    speaker, (first, _) = _twins()
    assert speaker.split(first, Symptom((2,), "down")) == ""
    assert speaker.split(first, Symptom((1,), "down", hedged=True)) == ""


def test_a_symptom_of_two_directions_names_both() -> None:
    speaker, _ = _twins()
    symptom = Symptom((2,), "down", other="noisy")
    assert symptom.target["down"] > symptom.target["noisy"] > 0
    assert all(
        " or " in clause or " and sometimes " in clause
        for clause in (speaker.clause(symptom) for _ in range(40))
    )


def test_twins_of_a_card_have_names_of_their_own() -> None:
    found = 0
    for one in islice(cards(source(), 6), 80):
        kinds = [load(held=False).quantity(label) for label in one.labels]
        found += len([k for k in kinds if k]) > len({k for k in kinds if k})
        assert len(set(one.labels)) == len(one.labels)
    assert found > 40
