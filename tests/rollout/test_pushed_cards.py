"""Equipment cards that come with the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rollout.fleet import Gateway, patch

from edge_agent.config.load import parse_settings
from edge_agent.config.settings import Settings
from edge_agent.diagnose.library import CardLibrary, idle_cards
from edge_agent.errors import BadConfig

FILE = 'equipment = "pump-1"\ntitle = "from the file"\n'
CARD = {"equipment": "pump-1", "title": "from afar", "signals": {"flow": {"unit": "L/min"}}}


class WithCards(Gateway):
    """Validates as the agent does: the cards must be right as well."""

    def validate(self, document: Any) -> Settings:  # noqa: ANN401
        settings = parse_settings(document, where="settings")
        CardLibrary.load(settings.diagnose.cards, settings.diagnose.pushed_cards)
        return settings


@pytest.fixture
def gateway(tmp_path: Path) -> WithCards:
    (tmp_path / "pump.toml").write_text(FILE)
    made = WithCards(file={"agent": {"id": "gw-1"}, "diagnose": {"cards": str(tmp_path)}})
    made.boot()
    return made


def cards(gateway: Gateway) -> CardLibrary:
    assert gateway.running is not None
    diagnose = gateway.running.diagnose
    return CardLibrary.load(diagnose.cards, diagnose.pushed_cards)


def test_a_pushed_card_stands_in_for_the_file_until_it_is_taken_back(gateway: WithCards) -> None:
    gateway.push(patch(1, {"diagnose": {"pushed_cards": {"pump": CARD}}}))
    assert gateway.pass_time(61)["state"] == "confirmed"
    card = cards(gateway).for_equipment("pump-1")
    assert card is not None
    assert card.title == "from afar"
    gateway.push({"agent": "gw-1", "revision": 2, "restore": 0})
    gateway.pass_time(61)
    card = cards(gateway).for_equipment("pump-1")
    assert card is not None
    assert card.title == "from the file"


@pytest.mark.parametrize(
    ("pushed", "told"),
    [
        ({"pump": {**CARD, "signals": 5}}, "pushed_cards.pump: signals"),
        ({"a": CARD, "b": CARD}, "stands twice"),
        ({"pump": {"equipment": "x", "faults": [{"id": "1 2"}]}}, "faults.0.id"),
    ],
)
def test_a_card_that_is_wrong_is_refused_by_name(
    gateway: WithCards, pushed: dict[str, Any], told: str
) -> None:
    report = gateway.push(patch(1, {"diagnose": {"pushed_cards": pushed}}))
    assert report["state"] == "rejected"
    assert told in report["reason"]


def test_two_files_for_one_machine_are_still_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(FILE)
    (tmp_path / "b.toml").write_text(FILE)
    with pytest.raises(BadConfig):
        CardLibrary.load(tmp_path)


def test_a_card_that_matches_no_telemetry_is_told() -> None:
    assert idle_cards({"pump": CARD}, ["fan-1", "pump-1"]) == []
    [told] = idle_cards({"pump": CARD}, ["fan-1", "fan-2"])
    assert "diagnose.pushed_cards.pump" in told
    assert "fan-1, fan-2" in told
    [told] = idle_cards({"pump": CARD}, [])
    assert told.endswith("machines heard of: none")
