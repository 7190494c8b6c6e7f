"""The model roll-out: outcomes, refusals, and a crash at every step of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config.load import parse_settings
from edge_agent.errors import BadAnswer, BadConfig, IllegalTransition, Unavailable
from edge_agent.inference.catalog import read_manifest
from edge_agent.rollout.effects import Memory
from edge_agent.rollout.envelope import Envelope
from edge_agent.rollout.model_apply import ModelEffects, ModelRollout
from edge_agent.rollout.model_decide import (
    MODEL_TRANSITIONS,
    ModelLedger,
    ModelState,
    move_model,
)
from edge_agent.rollout.model_document import ModelManifest, read_desired_model

NEW, NEWER = b"GGUF new model" * 1000, b"GGUF newer model" * 1000


class Crash(Exception):
    """Power was cut here."""


@dataclass
class Gateway:
    folder: Path
    rollout_settings: dict[str, Any] = field(default_factory=dict)
    disk: bytes | None = None
    in_use: str | None = None
    now: float = 1_790_000_000.0
    calls: list[str] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    crash_at: int | None = None
    crash_before: bool = False
    check_error: BadConfig | None = None
    canary_error: Exception | None = None
    switch_error: Exception | None = None
    complaint: str | None = None
    rollout: ModelRollout = field(init=False)

    def boot(self) -> ModelRollout:
        stick = self.folder / "stick"
        stick.mkdir(exist_ok=True)
        document = {
            "agent": {"id": "gw-1"},
            "rollout": {"model_import_dir": str(stick), "disk_reserve_mb": 0}
            | self.rollout_settings,
        }
        settings = parse_settings(document, where="test")
        effects = ModelEffects(
            settings=lambda: settings,
            models_dir=lambda: self.folder / "models",
            check=self._check,
            canary=self._canary,
            switch=self._switch,
            unhealthy=lambda: self.complaint,
            anchors=lambda: None,
            report=self.reports.append,
            clock=lambda: self.now,
        )
        self.rollout = ModelRollout(Memory(lambda: self.disk, self._save), effects)
        self.in_use = self.rollout.resume()
        return self.rollout

    def _may_crash(self, call: str, *, before: bool) -> None:
        if before:
            self.calls.append(call)
        due = self.crash_at is not None and len(self.calls) > self.crash_at
        if due and before == self.crash_before:
            self.crash_at = None
            raise Crash(call)

    def _save(self, document: bytes) -> None:
        self._may_crash("save", before=True)
        self.disk = document
        self._may_crash("save", before=False)

    def _check(self, path: Path, manifest: ModelManifest) -> None:
        self._may_crash("check", before=True)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == manifest.sha256
        if self.check_error is not None:
            raise self.check_error

    def _canary(
        self, path: Path, manifest: ModelManifest, stopped: Callable[[], bool]
    ) -> dict[str, float]:
        assert not stopped()
        self._may_crash("canary", before=True)
        if self.canary_error is not None:
            raise self.canary_error
        return {"tokens_per_second": float(len(manifest.name) + len(path.name))}

    def _switch(self, name: str | None) -> None:
        self._may_crash("switch", before=True)
        if self.switch_error is not None:
            raise self.switch_error
        self.in_use = name
        self._may_crash("switch", before=False)

    def bring(self, name: str, content: bytes) -> dict[str, Any]:
        """Put a file on the stick; its manifest."""
        (self.folder / "stick" / f"{name}.bin").write_bytes(content)
        return {
            "name": name,
            "source": f"file:{name}.bin",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
            "licence": "apache-2.0",
            "sampling": {"temperature": 0.5},
        }

    def push(self, revision: int, **content: object) -> dict[str, Any]:
        body = {"kind": "model", "agent": "gw-1", "revision": revision, **content}
        self.rollout.handle_desired(json.dumps(body).encode())
        return self.settle()

    def settle(self, steps: int = 200) -> dict[str, Any]:
        for _ in range(steps):
            self.now += max(1.0, self.rollout.step())
            if self.rollout.ledger.at_rest and self.rollout.ledger.waiting is None:
                break
        return self.rollout.reported()


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    made = Gateway(tmp_path)
    made.boot()
    return made


def test_a_model_is_fetched_checked_tried_and_used(gateway: Gateway) -> None:
    report = gateway.push(1, model=gateway.bring("new", NEW))
    assert report["state"] == "confirmed", report["reason"]
    assert report["in_use"]["name"] == gateway.in_use == "new"
    assert report["canary"] == {"tokens_per_second": 11.0}
    states = list(dict.fromkeys(one["state"] for one in gateway.reports))
    assert states == [
        "received",
        "verified",
        "fetching",
        "fetched",
        "checked",
        "canary",
        "switching",
        "probation",
        "confirmed",
    ]
    kept = read_manifest(gateway.folder / "models/new.model.toml")
    assert (kept.source, kept.sampling.temperature) == ("new.gguf", 0.5)


def test_the_previous_one_is_kept_and_restored_and_older_ones_go(gateway: Gateway) -> None:
    for revision, name in enumerate(("a", "b", "c"), start=1):
        gateway.push(revision, model=gateway.bring(name, NEW + name.encode()))
    there = sorted(path.name for path in (gateway.folder / "models").glob("*.gguf"))
    assert there == ["b.gguf", "c.gguf"]
    report = gateway.push(4, restore=True)
    assert (report["state"], gateway.in_use) == ("confirmed", "b")
    assert report["previous"] == "c"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sha256": "0" * 64}, "not the file of the manifest"),
        ({"size": 100}, "longer than 100"),
        ({"size": 10**10}, "govern.memory_mb allows"),
        ({"name": "../evil"}, "model.name"),
        ({"source": "file:../../etc/passwd"}, "without any folder"),
        ({"source": "http://server/m.gguf"}, "https://"),
        ({"source": "ftp://server/m.gguf"}, "https://"),
        ({"extra": 1}, "unknown key"),
    ],
)
def test_bad_manifests_are_refused(gateway: Gateway, change: dict[str, Any], told: str) -> None:
    report = gateway.push(1, model=gateway.bring("new", NEW) | change)
    assert (report["state"], gateway.in_use) == ("rejected", None)
    assert told in report["reason"]


@pytest.mark.parametrize("error", [BadConfig("no such architecture"), BadAnswer("nonsense")])
def test_a_model_that_is_no_good_leaves_no_trace(gateway: Gateway, error: Exception) -> None:
    if isinstance(error, BadConfig):
        gateway.check_error = error
    else:
        gateway.canary_error = error
    report = gateway.push(1, model=gateway.bring("new", NEW))
    assert (report["state"], gateway.in_use) == ("rejected", None)
    assert str(error) in report["reason"]
    assert list((gateway.folder / "models").iterdir()) == []


def test_a_canary_that_cannot_run_fails_after_three_tries(gateway: Gateway) -> None:
    gateway.canary_error = Unavailable("the worker was killed")
    report = gateway.push(1, model=gateway.bring("new", NEW))
    assert (report["state"], report["failures"]) == ("failed", 3)


def test_an_unhealthy_model_is_taken_back(gateway: Gateway) -> None:
    gateway.push(1, model=gateway.bring("new", NEW))
    gateway.complaint = "two of three answers were unusable"
    report = gateway.push(2, model=gateway.bring("newer", NEWER))
    assert (report["state"], gateway.in_use) == ("rolled_back", "new")
    assert "two of three" in report["reason"]


def test_a_switch_that_fails_is_undone(gateway: Gateway) -> None:
    gateway.push(1, model=gateway.bring("new", NEW))

    def only_the_new_one_fails(name: str | None) -> None:
        if name == "newer":
            raise Unavailable("no memory")
        gateway.in_use = name

    gateway.rollout._effects = ModelEffects(
        **{
            **{name: getattr(gateway.rollout._effects, name) for name in _FIELDS},
            "switch": only_the_new_one_fails,
        }
    )
    report = gateway.push(2, model=gateway.bring("newer", NEWER))
    assert (report["state"], gateway.in_use) == ("rolled_back", "new")


_FIELDS = tuple(ModelEffects.__dataclass_fields__)


def test_a_source_that_is_away_is_waited_for(gateway: Gateway) -> None:
    manifest = gateway.bring("new", NEW)
    (gateway.folder / "stick/new.bin").unlink()
    body = {"kind": "model", "agent": "gw-1", "revision": 1, "model": manifest}
    gateway.rollout.handle_desired(json.dumps(body).encode())
    assert gateway.settle(10)["state"] == "fetching"
    assert "not there" in gateway.rollout.reported()["reason"]
    gateway.bring("new", NEW)
    assert gateway.settle()["state"] == "confirmed"


def test_a_newer_document_takes_over_while_nothing_is_touched(gateway: Gateway) -> None:
    manifest = gateway.bring("new", NEW)
    (gateway.folder / "stick/new.bin").unlink()
    body = {"kind": "model", "agent": "gw-1", "revision": 1, "model": manifest}
    gateway.rollout.handle_desired(json.dumps(body).encode())
    gateway.settle(5)
    report = gateway.push(2, model=gateway.bring("newer", NEWER))
    assert (report["state"], gateway.in_use) == ("confirmed", "newer")


def test_a_newer_document_waits_for_the_end_of_a_probation(gateway: Gateway) -> None:
    body = {"kind": "model", "agent": "gw-1", "revision": 1, "model": gateway.bring("new", NEW)}
    gateway.rollout.handle_desired(json.dumps(body).encode())
    while gateway.rollout.ledger.state is not ModelState.PROBATION:
        gateway.rollout.step()
    report = gateway.push(2, model=gateway.bring("newer", NEWER))
    assert (report["state"], gateway.in_use, report["previous"]) == ("confirmed", "newer", "new")


def test_replays_and_redeliveries_change_nothing(gateway: Gateway) -> None:
    manifest = gateway.bring("new", NEW)
    gateway.push(5, model=manifest)
    calls = len(gateway.calls)
    gateway.push(5, model=manifest)
    assert len(gateway.calls) == calls
    assert "goes back" in gateway.push(4, model=gateway.bring("newer", NEWER))["reason"]
    assert gateway.push(5, model=manifest)["state"] == "confirmed"
    report = gateway.push(6, model=manifest)
    assert (report["state"], report["reason"]) == ("confirmed", "it is in use already")


def test_failure_may_be_tried_again_by_the_retained_document(gateway: Gateway) -> None:
    gateway.canary_error = Unavailable("no memory just now")
    manifest = gateway.bring("new", NEW)
    gateway.push(1, model=manifest)
    gateway.rollout._journal.change(failures=1)
    gateway.canary_error = None
    assert gateway.push(1, model=manifest)["state"] == "confirmed"


@pytest.mark.parametrize("crash_before", [True, False])
@pytest.mark.parametrize("complaint", [None, "answers are unusable"])
def test_a_crash_at_any_step_ends_in_one_model_or_the_other(
    tmp_path: Path, complaint: str | None, crash_before: bool
) -> None:
    crashes = 0
    for step in range(60):
        (tmp_path / str(step)).mkdir()
        gateway = Gateway(tmp_path / str(step))
        gateway.boot()
        gateway.push(1, model=gateway.bring("new", NEW))
        second: Mapping[str, Any] = gateway.bring("newer", NEWER)
        gateway.complaint = complaint
        gateway.crash_at, gateway.crash_before = len(gateway.calls) + step, crash_before
        try:
            report = gateway.push(2, model=second)
        except Crash:
            crashes += 1
            gateway.boot()
            assert gateway.in_use in ("new", "newer")
            report = gateway.push(2, model=second)
        if complaint is None:
            assert (report["state"], gateway.in_use) == ("confirmed", "newer"), step
        else:
            assert (report["state"], gateway.in_use) == ("rolled_back", "new"), step
        gateway.boot()
        assert gateway.in_use == ("newer" if complaint is None else "new")
        if gateway.crash_at is not None:
            break
    assert crashes >= 10


def test_a_model_that_kills_the_daemon_is_taken_back_after_three_starts(gateway: Gateway) -> None:
    gateway.push(1, model=gateway.bring("new", NEW))
    body = {"kind": "model", "agent": "gw-1", "revision": 2, "model": gateway.bring("x", NEWER)}
    gateway.rollout.handle_desired(json.dumps(body).encode())
    while gateway.rollout.ledger.state is not ModelState.PROBATION:
        gateway.rollout.step()
    used = []
    for _ in range(4):
        gateway.boot()
        used.append(gateway.in_use)
    assert used == ["x", "x", "new", "new"]
    assert gateway.rollout.reported()["state"] == "rolled_back"


def test_illegal_moves_raise() -> None:
    for before, allowed in MODEL_TRANSITIONS.items():
        for after in ModelState:
            if after in allowed:
                assert move_model(ModelLedger(state=before), after).state is after
            else:
                with pytest.raises(IllegalTransition):
                    move_model(ModelLedger(state=before), after)


@pytest.mark.parametrize(
    "body", [b"{}", b'{"kind": "config", "agent": "a", "revision": 1, "restore": true}', b"\xff"]
)
def test_hostile_bodies_are_bad_config(body: bytes) -> None:
    with pytest.raises(BadConfig):
        read_desired_model(Envelope(body))
