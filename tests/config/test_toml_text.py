"""What we write as TOML, Python's reader reads back."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.cli.config import as_toml
from edge_agent.config.toml_text import key, quoted, value
from edge_agent.diagnose.card_draft import SeenColumn, card_text
from edge_agent.diagnose.library import CardLibrary

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PLAIN = TEXT | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(TEXT)
def test_any_text_comes_back(text: str) -> None:
    assert tomllib.loads(f"{key(text)} = {quoted(text)}") == {text: text}


@given(VALUES)
def test_any_value_comes_back(found: object) -> None:
    assert tomllib.loads(f"a = {value(found)}") == {"a": found}


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_any_document_comes_back(document: dict[str, object]) -> None:
    assert tomllib.loads(as_toml(document)) == document


def test_half_a_surrogate_pair_is_replaced_and_nothing_else_is_written() -> None:
    half = quoted("x\ud800y")
    assert tomllib.loads(f"a = {half}") == {"a": "x\ufffdy"}
    assert value({"a": None, "b": 1}) == "{ b = 1 }"
    with pytest.raises(TypeError, match="no TOML form"):
        value(object())


@given(TEXT.filter(bool))
def test_a_card_can_be_drafted_for_a_machine_of_any_name(name: str) -> None:
    column = SeenColumn(name, "°C", 1.0, 2.0)
    drafted = tomllib.loads(card_text(name, 1.0, [column], {}))
    assert drafted["equipment"] == name
    assert list(drafted["signals"]) == [name]


def test_a_drafted_card_with_a_sign_beyond_the_basic_plane_is_read(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.toml").write_text(card_text("pump 🛠", 1.0, [], {}), encoding="utf-8")
    assert CardLibrary.load(tmp_path).for_equipment("pump 🛠") is not None
