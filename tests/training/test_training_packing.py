"""A card as a tree of tokens, against each question alone."""

from __future__ import annotations

import random

import numpy as np

from edge_agent.diagnose.fault_reading import SIGNAL_WORDS, reading_prefix, signal_question
from training.generate import card, source
from training.packing import Packed, pack
from training.reading import Card, FaultText, best


def _letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def _path(packed: Packed, place: int) -> list[int]:
    """The tokens that the one at ``place`` sees, in order of their positions."""
    seen = np.flatnonzero(packed.mask[place])
    order = np.argsort(packed.positions[seen])
    return [int(token) for token in packed.tokens[seen][order]]


def test_each_question_sees_its_prefix_and_itself_only() -> None:
    one = card(source(), random.Random(1))
    packed = pack(one, _letters)
    places = iter(packed.asked)
    for fault in one.faults:
        prefix = reading_prefix(one.labels, fault.text)
        for label in one.labels:
            assert _path(packed, next(places)) == _letters(prefix + signal_question(label))
        assert _path(packed, next(places)) == _letters(prefix + "speed:")


def test_positions_count_along_the_path() -> None:
    packed = pack(card(source(), random.Random(2)), _letters)
    for place in packed.asked:
        seen = np.flatnonzero(packed.mask[place])
        assert sorted(packed.positions[seen]) == list(range(len(seen)))


def test_targets_are_those_of_the_card() -> None:
    faults = (
        FaultText("flow up", ({"up": 0.75, "none": 0.25}, {"none": 1.0}), {"slow": 1.0}),
        FaultText("level low", ({"none": 1.0}, {"down": 1.0})),
    )
    packed = pack(Card("m", ("flow", "level"), faults), _letters)
    assert packed.targets.shape == (6, len(SIGNAL_WORDS))
    assert packed.targets.sum(1).tolist() == [1.0] * 6
    assert packed.targets[0, SIGNAL_WORDS.index("up")] == 0.75
    assert packed.speed.tolist() == [False, False, True] * 2
    assert packed.targets[2, 0] == 1.0
    assert best(faults[0].signals[0]) == "up"


def test_the_list_of_signals_is_computed_once() -> None:
    one = card(source(), random.Random(3))
    alone = sum(
        len(pack(Card(one.machine, one.labels, (fault,)), _letters).tokens) for fault in one.faults
    )
    assert len(pack(one, _letters).tokens) < alone
