"""A gateway whose model in use is a tiny one, and a stick with files for the next one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from workers import request

from edge_agent.config.inference import InferenceSection
from edge_agent.config.load import parse_settings
from edge_agent.inference.client import WorkerClient
from edge_agent.models.switch import ModelSwitch
from edge_agent.rollout.effects import Memory
from edge_agent.rollout.model_apply import ModelEffects, ModelRollout

LIMIT_MB = 900


class ModelGateway:
    """``push`` a file to it; ``still_answers`` with the model that it had."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.models = folder / "models"
        self.stick = folder / "stick"
        self.stick.mkdir()
        (folder / "run").mkdir()
        self.model = str(model)
        settings = InferenceSection(model=self.model, context=1024, fallbacks=())
        self.switch = ModelSwitch(
            settings, folder / "run", self._client, self.models, lambda: LIMIT_MB
        )
        document = {
            "agent": {"id": "gw-1"},
            "rollout": {"model_import_dir": str(self.stick), "disk_reserve_mb": 0},
        }
        gateway = parse_settings(document, where="test")
        disk: list[bytes] = []
        effects = ModelEffects(
            settings=lambda: gateway,
            models_dir=lambda: self.models,
            check=self.switch.check,
            canary=self.switch.canary,
            switch=self.switch.switch,
            unhealthy=self.switch.unhealthy,
            anchors=lambda: None,
        )
        self.rollout = ModelRollout(
            Memory(lambda: disk[-1] if disk else None, disk.append), effects
        )
        self._revision = 0

    def _client(self, settings: InferenceSection, folder: Path) -> WorkerClient:
        return WorkerClient(
            settings,
            runtime_dir=folder,
            models_dir=self.models,
            memory_limit_mb=lambda: LIMIT_MB,
        )

    def push(self, content: bytes, **changes: object) -> dict[str, Any]:
        """Offer a file with that content and its manifest, some of it changed; the report."""
        (self.stick / "new.bin").write_bytes(content)
        manifest = {
            "name": "new",
            "source": "file:new.bin",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
        }
        self._revision += 1
        body = {
            "kind": "model",
            "agent": "gw-1",
            "revision": self._revision,
            "model": {**manifest, **changes},
        }
        self.rollout.handle_desired(json.dumps(body).encode())
        for _ in range(50):
            self.rollout.step()
            if self.rollout.ledger.at_rest:
                break
        return self.rollout.reported()

    def still_answers(self) -> bool:
        """Whether the model of before answers, and nothing of the refused one is left."""
        answer = self.switch.complete(request(), lambda: False)
        left = [*self.models.glob("new*"), *self.models.glob("*.part")]
        return bool(answer.text) and self.switch.status().model == self.model and not left
