"""What a reading of cards is worth: cases from the key, ranked by what was read."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from plant import REPOSITORY

from edge_agent.bench.embedding_cards import read_by_embedding
from edge_agent.config.load import validate
from edge_agent.domain.card import Card, CellReading
from edge_agent.domain.finding import Direction
from edge_agent.evaluation.card_cases import CASES, cases, fault_found
from edge_agent.evaluation.reading import blank, read_cells, score, truth_of


def gearbox() -> Card:
    path = REPOSITORY / "configs" / "equipment" / "public" / "helical-gearbox.toml"
    return validate(Card, tomllib.loads(path.read_text(encoding="utf-8")), where=str(path))


def perfect(card: Card) -> Card:
    """What a reader without error and without doubt would make of it."""
    faults = []
    for fault in blank(card).faults:
        key = next(one for one in card.faults if one.id == fault.id)
        read: dict[str, CellReading] = {}
        for name in card.signals:
            read |= validate(
                type(fault),
                fault.model_dump() | {"read": {name: {truth_of(key, name): 1.0}}},
                where="test",
            ).read
        faults.append(fault.model_copy(update={"read": read}))
    return card.model_copy(update={"faults": tuple(faults)})


def test_cases_follow_the_key_and_are_the_same_each_time() -> None:
    card = gearbox()
    found = cases(card)
    assert found == cases(card)
    assert len(found) == CASES * len(card.faults)
    full = [f for fault, f in found if fault == "filter_full"]
    moved = [
        one.direction
        for finding in full
        for one in finding.evidence
        if one.signal == "filter_difference" and one.direction is not Direction.NORMAL
    ]
    assert moved.count(Direction.UP) > len(moved) / 2


def test_a_perfect_reading_is_worth_what_the_key_is() -> None:
    card = gearbox()
    table = perfect(card)
    assert score(read_cells(card, table))["accuracy"] == 1.0
    told = fault_found([(card, table)])
    assert told["top1_by_key"] > 0.5
    assert told["of_key"] == pytest.approx(1.0, abs=0.15)


def test_the_embedding_matcher_says_what_its_nearest_sentence_says() -> None:
    card = gearbox()
    words = ["oil temperature", "rises", "falls"]

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.array([[word in text.lower() for word in words] for text in texts], dtype=float)
        rows += 1e-6
        unit: NDArray[np.float32] = rows.astype(np.float32)
        unit /= np.linalg.norm(rows, axis=1, keepdims=True).astype(np.float32)
        return unit

    text = "The oil temperature rises. Nothing else."
    fault = card.faults[0].model_copy(update={"description": text})
    one = card.model_copy(update={"faults": (fault,)})
    read = read_by_embedding(blank(one), embed, near=0.9).faults[0].read
    assert isinstance(read["oil_temperature"], dict)
    assert max(read["oil_temperature"], key=read["oil_temperature"].__getitem__) == "up"
