"""Cards as engineers write them: of a type, checked, drafted, with a schema."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
from plant import REPOSITORY
from typer.testing import CliRunner

from edge_agent.cli import app
from edge_agent.diagnose.card_review import review
from edge_agent.diagnose.library import CardLibrary, card_schema_text, load_card
from edge_agent.diagnose.symptoms import table_of
from edge_agent.domain.card import Card
from edge_agent.domain.finding import Direction
from edge_agent.errors import BadConfig

CARDS = REPOSITORY / "configs" / "equipment"
RUNNER = CliRunner()
TYPE = """
equipment = "pump-*"
title = "A pump"
kind = "process"
[signals.flow]
unit = "m3/h"
meaning = "water delivered"
[signals.pressure]
unit = "bar"
[signals.vibration]
[[faults]]
id = "leak"
title = "Leak"
description = "The flow and the pressure fall."
symptoms = { flow = "falls", pressure = "falls" }
actions = ["Close it."]
[[faults]]
id = "wear"
title = "Wear"
description = "The vibration rises."
symptoms = { vibration = "rises" }
actions = ["Grease it."]
"""
OWN = """
equipment = "P-101"
type = "pump"
title = "Feed pump"
without = ["wear"]
[signals.FI_101]
is = "flow"
unit = "L/min"
[signals.PI_102]
is = "pressure"
[signals.TI_103]
meaning = "bearing"
[[faults]]
id = "hot"
title = "Hot bearing"
description = "The bearing is hot."
symptoms = { TI_103 = "rises" }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "pump.toml").write_text(TYPE)
    return tmp_path


def card(folder: Path, text: str) -> Card:
    path = folder / "card.toml"
    path.write_text(text)
    return load_card(path)


def test_a_card_takes_its_types_signals_and_faults_under_its_own_names(folder: Path) -> None:
    found = card(folder, OWN)
    assert (found.equipment, found.title, found.kind) == ("P-101", "Feed pump", "process")
    assert list(found.signals) == ["FI_101", "PI_102", "TI_103"]
    flow = found.signals["FI_101"]
    assert (flow.unit, flow.meaning, flow.called) == ("L/min", "water delivered", "flow")
    assert [fault.id for fault in found.faults] == ["leak", "hot"]
    assert table_of(found)["leak"]["PI_102"].direction is Direction.DOWN


def test_without_signals_of_its_own_the_types_names_stand(folder: Path) -> None:
    found = card(folder, 'equipment = "P-7"\ntype = "pump"\n')
    assert list(found.signals) == ["flow", "pressure", "vibration"]
    assert [fault.id for fault in found.faults] == ["leak", "wear"]


def test_symptoms_of_signals_that_are_not_measured_are_left_out(folder: Path) -> None:
    found = card(folder, 'equipment = "P-7"\ntype = "pump"\n[signals.flow]\n')
    assert found.faults[0].symptoms == {"flow": "falls"}
    assert found.faults[1].symptoms == {}


def test_an_own_fault_of_the_same_id_replaces_the_types(folder: Path) -> None:
    own = OWN.replace('"hot"', '"leak"')
    found = card(folder, own)
    assert [(fault.id, fault.title) for fault in found.faults] == [("leak", "Hot bearing")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('"pump"', '"pomp"'), r"type: no type 'pomp' in .*; there are: pump"),
        (('"pump"', '"../pump"'), "is no name of a type"),
        (
            ('is = "flow"', 'is = "flew"'),
            "signals.FI_101.is: the type has no signal 'flew'; it has",
        ),
        (('["wear"]', '["tear"]'), "without: the type has no fault 'tear'; it has: leak, wear"),
        (('type = "pump"\n', ""), "without: goes with a type"),
        (("TI_103 = ", "TI_301 = "), "no signal 'TI_301'; the card has: FI_101, PI_102, TI_103"),
    ],
)
def test_a_wrong_inheritance_is_refused_with_the_place(
    folder: Path, change: tuple[str, str], told: str
) -> None:
    with pytest.raises(BadConfig, match=told):
        card(folder, OWN.replace(*change))


def test_types_do_not_inherit(folder: Path) -> None:
    (folder / "library" / "sub.toml").write_text('type = "pump"\n' + TYPE)
    with pytest.raises(BadConfig, match="types do not inherit"):
        card(folder, 'equipment = "P"\ntype = "sub"\n')


def test_a_pushed_card_may_be_of_a_type(folder: Path) -> None:
    library = CardLibrary.load(folder, {"p": {"equipment": "P-9", "type": "pump"}})
    found = library.for_equipment("P-9")
    assert found is not None
    assert [fault.id for fault in found.faults] == ["leak", "wear"]


def test_the_shipped_cards_are_fine() -> None:
    paths = [str(CARDS), str(CARDS / "library"), str(CARDS / "public")]
    result = RUNNER.invoke(app, ["card", "check", *paths, "--warnings-as-errors", "--json"])
    report = json.loads(result.stdout)
    poor = [(one["file"], one["errors"], one["warnings"]) for one in report["cards"]]
    assert result.exit_code == 0, [one for one in poor if one[1] or one[2]]


def test_a_poor_card_is_told_what_is_poor() -> None:
    found = Card.model_validate(
        {
            "equipment": "x",
            "signals": {
                "flow": {"unit": "m3/h"},
                "level": {"normal": [0, 9], "physical": [1, 8], "unit": "m"},
            },
            "faults": [
                {"id": "a", "title": "A", "description": "It is broken."},
                {"id": "b", "title": "B", "description": "-", "symptoms": {"flow": "falls"}},
                {"id": "c", "title": "C", "description": "-", "symptoms": {"flow": "down"}},
                {
                    "id": "d",
                    "title": "D",
                    "description": "-",
                    "symptoms": {"level": "falls"},
                    "read": {"level": {"up": 0.9, "none": 0.1}},
                },
            ],
        }
    )
    remarks = {one.place: one.text for one in review(found)}
    assert "can never be found" in remarks["faults.a.description"]
    assert "the same symptoms as b" in remarks["faults.c"]
    assert "beyond what the sensor" in remarks["signals.level.normal"]
    assert "read as the opposite" in remarks["faults.d.symptoms.level"]
    assert "told no remedy" in remarks["faults.b.actions"]


def test_check_names_file_and_key_of_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('equipment = "x"\n[[faults]]\nid = "a"\ntitle = "A"\n')
    result = RUNNER.invoke(app, ["card", "check", str(path)])
    assert result.exit_code == 1
    assert "bad.toml" in result.stdout
    assert "faults.0.description" in result.stdout


def test_a_draft_is_a_valid_card(tmp_path: Path) -> None:
    recording = tmp_path / "pump-7.csv"
    rows = "\n".join(f"{n},{n % 5},{20 + n % 3}" for n in range(50))
    recording.write_text(f"t_s,flow [L/min],T:1\n{rows}\n")
    target = tmp_path / "pump-7.toml"
    result = RUNNER.invoke(app, ["card", "draft", str(recording), "-o", str(target)])
    assert result.exit_code == 0, result.output
    found = load_card(target)
    assert (found.equipment, found.sample_period_s) == ("pump-7", 1.0)
    assert found.signals["flow"].unit == "L/min"
    assert list(found.signals) == ["flow", "T:1"]
    again = RUNNER.invoke(app, ["card", "draft", str(recording), "-o", str(target)])
    assert isinstance(again.exception, BadConfig)


def test_the_schema_is_current_and_the_shipped_cards_fit_it() -> None:
    text = (CARDS / "card.schema.json").read_text(encoding="utf-8")
    assert text == card_schema_text(), (
        "run: edge-agent card schema > configs/equipment/card.schema.json"
    )
    validator = jsonschema.Draft202012Validator(json.loads(text))
    for path in CARDS.rglob("*.toml"):
        validator.validate(tomllib.loads(path.read_text(encoding="utf-8")))
