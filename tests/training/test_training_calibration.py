"""Temperatures: what makes a reader as sure as it is right."""

from __future__ import annotations

import random
from itertools import islice

import numpy as np
import pytest

from edge_agent.diagnose.fault_reading import SIGNAL_WORDS, SPEED_WORDS, kind_of, tempered
from training.calibrate import calibrated, fitted
from training.evaluate import Rows, evaluate, perfect
from training.generate import cards, source
from training.reading import Card

SET = list(islice(cards(source(), 3), 30))


def _boaster(card: Card) -> Rows:
    """Right in about four of five answers, and sure of all of them."""
    rng = random.Random(repr(card))
    rows = perfect(card)
    width = len(card.labels) + 1
    for at, row in enumerate(rows):
        size = len(SPEED_WORDS) if at % width == width - 1 else len(SIGNAL_WORDS)
        best = int(row.argmax()) if rng.random() < 0.8 else rng.randrange(size)
        row[:] = 0
        row[:size] = 0.01 / (size - 1)
        row[best] = 0.99
    return rows


def test_a_reader_that_boasts_is_cooled_and_keeps_its_words() -> None:
    temperatures = fitted(SET, _boaster)
    assert set(temperatures) == {"said", "none", "speed"}
    assert all(value > 1.2 for value in temperatures.values())
    cooled = calibrated(_boaster, temperatures)
    before, after = evaluate(SET, _boaster), evaluate(SET, cooled)
    assert after.ece < 0.5 * before.ece
    assert after.cell_accuracy == before.cell_accuracy
    assert np.allclose(cooled(SET[0]).sum(1), 1.0)


def test_a_reader_that_is_right_stays_as_sure() -> None:
    assert all(value <= 1.0 for value in fitted(SET, perfect).values())


def test_each_answer_has_the_temperature_of_its_kind() -> None:
    said = (0.6, 0.1, 0.1, 0.1, 0.05, 0.05)
    assert kind_of(SIGNAL_WORDS, said) == "said"
    assert kind_of(SIGNAL_WORDS, (*said[::-1][:5], 0.9)) == "none"
    assert kind_of(SPEED_WORDS, (0.1, 0.2, 0.7)) == "speed"
    assert tempered(SIGNAL_WORDS, said, {"none": 3.0}) == pytest.approx(said)
    cooled = tempered(SIGNAL_WORDS, said, {"said": 2.0})
    assert sum(cooled) == pytest.approx(1.0)
    assert 0.3 < cooled[0] < 0.6
    assert tempered(SIGNAL_WORDS, (0.0,) * 6, {"said": 2.0}) == (0.0,) * 6
