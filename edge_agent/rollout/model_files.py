"""The models directory as the roll-out sees it: a file and a catalogue entry per model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import structlog

from edge_agent.rollout.model_document import PART, ModelManifest

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Names come from manifests, whose pattern holds no path."""

    folder: Path

    def path(self, manifest: ModelManifest) -> Path:
        """Where the file of ``manifest`` lies."""
        return self.folder / manifest.file_name

    def register(self, manifest: ModelManifest) -> None:
        """Write the catalogue entry, so that the settings and ``model list`` know the name."""
        path = self.folder / manifest.entry_name
        fresh = path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(manifest.as_toml())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    def discard_part(self, manifest: ModelManifest) -> None:
        """Remove what was fetched of a refused model."""
        (self.folder / (manifest.file_name + PART)).unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove a model's file and entry."""
        for suffix in (".gguf", ".model.toml", ".adapter.toml"):
            (self.folder / f"{name}{suffix}").unlink(missing_ok=True)
        log.info("model_removed", model=name)
