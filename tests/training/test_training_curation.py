"""Stages of the curation, and the figures that they are measured by."""

from __future__ import annotations

import random
from itertools import islice

import numpy as np
import pytest

from training.blend import blended, from_pool
from training.distinct import keep_distinct
from training.evaluate import Rows, calibration_error, evaluate, match, observe, perfect
from training.figures import as_markdown, figures, flat
from training.generate import cards, source
from training.likeness import grams, resample, weights
from training.paraphrase import paraphrased, paraphrased_card
from training.quality import keep_fluent
from training.reading import Card, FaultText
from training.shipped import score, shipped_cards

POOL = list(islice(cards(source(), 1), 30))


def test_the_quality_filter_leaves_out_the_most_surprising() -> None:
    surprise = [float(place % 10) for place in range(30)]
    kept = keep_fluent(POOL, surprise, 0.5)
    assert len(kept) == 15
    assert POOL[9] not in kept
    assert POOL[0] in kept
    assert [POOL.index(one) for one in kept] == sorted(POOL.index(one) for one in kept)


def test_of_two_texts_that_mean_the_same_one_goes() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(30, 8)).astype(np.float32)
    vectors[1] = vectors[0] + 1e-4
    kept = keep_distinct(POOL, vectors, 0.8)
    assert len(kept) == 24
    assert not (POOL[0] in kept and POOL[1] in kept)


def test_likeness_prefers_the_wording_of_the_targets() -> None:
    texts = ["the flow falls and the pressure rises", "whereas amperage dwindles", "flow falls"]
    found = weights(texts, ["the flow falls", "the pressure rises", "flow falls"])
    assert found.argmin() == 1
    assert grams("flow falls").sum() == 3.0
    assert len(resample(POOL, [POOL[0].faults[0].text] * 5, 0.4)) == 12


def test_a_blend_draws_by_its_shares() -> None:
    draw = blended([(0.8, from_pool(POOL[:1])), (0.2, from_pool(POOL[1:2]))])
    rng = random.Random(1)
    share = sum(draw(rng) == POOL[0] for _ in range(500)) / 500
    assert 0.7 < share < 0.9


def test_a_paraphrase_keeps_what_is_said() -> None:
    fault = FaultText(
        "The pump is worn. The flow falls, and the level rises. Call us.", ({"down": 1},)
    )
    rng = random.Random(2)
    others = [paraphrased(fault, rng) for _ in range(50)]
    assert all(one.signals == fault.signals for one in others)
    assert len({one.text for one in others}) > 10
    assert paraphrased_card(POOL[0], rng, share=0.0) == POOL[0]


def test_a_perfect_reading_scores_as_the_oracle_and_knows_every_cell() -> None:
    result = evaluate(POOL[:10], perfect)
    assert result.cell_accuracy == result.mentioned_accuracy == result.speed_accuracy == 1.0
    assert result.fault_top1 == result.oracle_top1 > 0.8
    assert result.ece == pytest.approx(0.0, abs=1e-6)


def test_a_blind_reading_is_no_better_than_chance() -> None:
    def blind(card: Card) -> Rows:
        return np.full_like(perfect(card), 1 / 6)

    result = evaluate(POOL, blind)
    assert result.cell_accuracy < 0.5
    assert result.fault_top1 < 0.5


def test_calibration_error_of_one_who_is_always_sure_and_half_right() -> None:
    assert calibration_error([1.0, 1.0], [1.0, 0.0]) == pytest.approx(0.5)
    assert calibration_error([], []) == 0.0


def test_matching_finds_the_fault_that_moves_what_is_seen_to_move() -> None:
    faults = (
        FaultText("a", ({"up": 1.0}, {"none": 1.0})),
        FaultText("b", ({"none": 1.0}, {"down": 1.0})),
    )
    rows = perfect(Card("m", ("x", "y"), faults))
    assert match(rows, ("same", "down"), 3) == 1
    assert match(rows, ("up", "same"), 3) == 0
    assert observe(faults[0], random.Random(0)) in {("up", "same"), ("same", "same")}


def test_the_cards_that_people_wrote_are_a_test_and_a_perfect_reading_passes_it(
    request: pytest.FixtureRequest,
) -> None:
    folder = request.config.rootpath / "configs" / "equipment"
    for public in (False, True):
        found = shipped_cards(folder, public=public)
        assert len(found) >= 8
        result = score(found, perfect)
        assert result.cell_accuracy == result.mentioned_accuracy == 1.0
        assert not result.wrong


def test_the_report_has_a_line_for_each_set(request: pytest.FixtureRequest) -> None:
    found = figures(perfect, 2, request.config.rootpath / "configs" / "equipment")
    run = {"tokens": 10, "seconds": 60.0, "step": 1, "loss": 0.5, "curve": [(5, 0.7)]}
    text = as_markdown({"run": run, "adapter": found})
    assert "unseen machines and phrasings" in text
    assert "public cards" in text
    assert flat(found)["cell_accuracy"] == 1.0
