"""What operators said of incidents makes the rules as sure as they proved to be."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from pump_cases import CARD, finding_of
from typer.testing import CliRunner

from edge_agent.cli import app
from edge_agent.config.settings import StoreSection
from edge_agent.domain.card import Calibration
from edge_agent.domain.feedback import Feedback
from edge_agent.simulate.faults import FaultName
from edge_agent.store.database import Store

FAULTS = (FaultName.LEAK, FaultName.BEARING_WEAR, FaultName.OUTLET_VALVE_CLOSING)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    (tmp_path / "equipment").mkdir()
    (tmp_path / "equipment" / "pump.toml").write_text(CARD.read_text("utf-8"), encoding="utf-8")
    file = tmp_path / "edge-agent.toml"
    file.write_text(
        f'[store]\nstate_dir = "{tmp_path / "state"}"\n'
        f'[diagnose]\ncards = "{tmp_path / "equipment"}"\n',
        encoding="utf-8",
    )
    return file


def say(state: Path, words: int, *, wrong: float) -> None:
    """So many incidents with what an operator said: another fault in a share of them."""
    rng = random.Random(4)
    store = Store.open(state, StoreSection(ballast_mb=0))
    try:
        for number in range(words):
            shown = rng.choice(FAULTS)
            said = rng.choice(FAULTS) if rng.random() < wrong else shown
            finding = finding_of(shown).model_copy(update={"incident_id": f"i{number}"})
            store.incidents.record(finding)
            store.feedback.put(
                Feedback(
                    incident_id=finding.incident_id,
                    equipment=finding.equipment,
                    fingerprints=(finding.fingerprint,),
                    verdict="fault",
                    fault=said,
                    opened_at=finding.opened_at,
                    given_at=float(number),
                )
            )
    finally:
        store.close()


def calibrated(settings: Path) -> list[dict[str, object]]:
    result = CliRunner().invoke(app, ["card", "calibrate", "--config", str(settings), "--json"])
    assert result.exit_code == 0, result.output
    found: list[dict[str, object]] = json.loads(result.stdout)["cards"]
    return found


def test_operators_who_disagree_make_the_rules_less_sure(settings: Path) -> None:
    say(settings.parent / "state", 60, wrong=0.6)
    (one,) = calibrated(settings)
    assert one["words"] == 60
    fitted = Calibration.model_validate(one["calibration"])
    assert fitted.temperature > 1.5
    assert float(str(one["loss_held_out"])) < float(str(one["loss_in_use"]))
    text = CliRunner().invoke(app, ["card", "calibrate", "--config", str(settings)]).stdout
    assert "[calibration]" in text
    assert f"temperature = {fitted.temperature:g}" in text


def test_a_few_words_fit_nothing(settings: Path) -> None:
    say(settings.parent / "state", 5, wrong=0.0)
    assert calibrated(settings) == [{"card": "simulated-pump", "words": 5, "calibration": None}]
