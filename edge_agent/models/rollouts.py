"""The models of the agent: the worker behind its switch, and the two roll-outs that bring other
models and other adapters to it. Each roll-out has topics, a state and a loop of its own; they
differ in what they check, try and switch, and in nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from edge_agent.config.inference import InferenceSection
from edge_agent.config.settings import Settings
from edge_agent.inference.client import WorkerClient
from edge_agent.inference.tier import TierChoice
from edge_agent.models.adapters import AdapterSwitch
from edge_agent.models.canary import CanaryCase
from edge_agent.models.switch import ModelSwitch
from edge_agent.rollout.effects import Memory
from edge_agent.rollout.model_apply import ModelEffects, ModelRollout
from edge_agent.rollout.signature import TrustAnchors
from edge_agent.supervisor import Supervisor

Kind = Literal["model", "adapter"]
MODEL: Kind = "model"
ADAPTER: Kind = "adapter"
KINDS = (MODEL, ADAPTER)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the models ask of the agent."""

    settings: Callable[[], Settings]
    """What is in effect."""
    memory: Callable[[str], Memory]
    """Where a roll-out of that kind remembers."""
    memory_mb: Callable[[], int]
    """What all workers together may take."""
    cases: Callable[[], Sequence[CanaryCase]]
    """Stored incidents that a new model must know as well as the one in use does."""
    anchors: Callable[[], TrustAnchors | None]
    report: Callable[[str, dict[str, Any]], None]
    """Publishes the state of the roll-out of that kind."""
    clock_trusted: Callable[[], bool]


class Models:
    """Builds the worker and both roll-outs, and resumes what a roll-out had begun."""

    def __init__(self, around: Surroundings) -> None:
        settings = around.settings()
        self._around = around
        self._dir = settings.models_dir
        self.worker = ModelSwitch(
            settings.inference,
            settings.store.state_dir,
            lambda section, folder: self._client(section, folder, self._dir),
            self._dir,
            around.memory_mb,
            around.cases,
        )
        canary_dir = settings.store.state_dir / "adapter-canary"
        adapters = AdapterSwitch(
            lambda: around.settings().inference, canary_dir, self._dir, self._client
        )
        self._rollouts = {
            MODEL: self._rollout(MODEL, self.worker, self.worker.unhealthy),
            ADAPTER: self._rollout(ADAPTER, adapters, lambda: None),
        }
        self.worker.switch(self._rollouts[MODEL].resume())
        adapters.switch(self._rollouts[ADAPTER].resume())

    def start_with(self, supervisor: Supervisor) -> None:
        """Add the loops of both roll-outs, ``models`` and ``adapters``."""
        for kind, rollout in self._rollouts.items():
            loop = supervisor.add(f"{kind}s")
            loop.run = partial(rollout.run, beat=loop.beat)

    def handle_desired(self, kind: Kind, payload: bytes) -> None:
        """A document of ``{kind}/desired`` came."""
        self._rollouts[kind].handle_desired(payload)

    def _client(self, section: InferenceSection, folder: Path, models: Path) -> WorkerClient:
        return WorkerClient(
            section,
            runtime_dir=folder,
            models_dir=models,
            memory_limit_mb=self._around.memory_mb,
        )

    def _rollout(
        self,
        kind: Kind,
        switch: ModelSwitch | AdapterSwitch,
        unhealthy: Callable[[], str | None],
    ) -> ModelRollout:
        around = self._around
        effects = ModelEffects(
            settings=around.settings,
            models_dir=lambda: self._dir,
            check=switch.check,
            canary=switch.canary,
            switch=switch.switch,
            unhealthy=unhealthy,
            anchors=around.anchors,
            kind=kind,
            report=lambda report: around.report(kind, report),
            clock_trusted=around.clock_trusted,
        )
        return ModelRollout(around.memory(kind), effects)


def no_room(settings: Settings, budget_mb: int) -> str | None:
    """Why no model of ``settings`` fits into ``budget_mb``; None where one does."""
    return TierChoice(settings.inference, settings.models_dir).no_room(budget_mb)
