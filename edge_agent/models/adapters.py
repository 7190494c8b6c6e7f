"""Adapters that a roll-out brought: checked against their base, tried on it, put into use.

The daemon itself asks no adapter; whoever reads cards on this gateway gets the one in use.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_agent.config.inference import InferenceSection
from edge_agent.diagnose.fault_reading import SIGNAL_WORDS, reading_prefix, signal_question
from edge_agent.domain.completion import Question, Reading, ReadingRequest
from edge_agent.errors import BadAnswer, BadConfig
from edge_agent.inference.adapter import use_adapter
from edge_agent.inference.catalog import location, manifests
from edge_agent.inference.client import WorkerClient
from edge_agent.inference.gguf import read_adapter_header, read_header
from edge_agent.inference.manifest import Manifest, check_licence
from edge_agent.rollout.model_document import ModelManifest

LABELS = ("flow", "vibration")
TEXT = "The vibration rises while the flow falls."
EXPECTED = ("down", "up")
"""What the text says of each label: an adapter for reading that misses this is no good."""


@dataclass(frozen=True, slots=True)
class AdapterSwitch:
    """``make`` builds a worker's client from settings, a folder of its own, a models directory."""

    settings: Callable[[], InferenceSection]
    folder: Path
    models_dir: Path
    make: Callable[[InferenceSection, Path, Path], WorkerClient]

    def check(self, path: Path, manifest: ModelManifest) -> None:
        """Header, base model and its architecture, without loading a weight. ``BadConfig``."""
        base = self._base(manifest)
        header = read_adapter_header(path)
        theirs = read_header(location(base, self.models_dir)).architecture
        if header.architecture != theirs:
            raise BadConfig(f"base_sha256: {base.name} is {theirs}, this is {header.architecture}")

    def canary(
        self, path: Path, manifest: ModelManifest, stopped: Callable[[], bool]
    ) -> dict[str, float]:
        """Have its base read a text whose meaning is known. Raises ``BadAnswer`` where it is read
        wrongly, ``Unavailable`` where it could not be tried."""
        base = location(self._base(manifest), self.models_dir)
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.models_dir, prefix="canary-") as name:
            trial = Path(name)
            os.link(path, trial / manifest.file_name)
            (trial / f"{manifest.name}.adapter.toml").write_text(manifest.as_toml())
            settings = self.settings().model_copy(update={"model": str(base), "fallbacks": ()})
            worker = self.make(settings, self.folder, trial)
            try:
                reading = worker.read(_question(manifest.name), stopped)
            finally:
                worker.close(0.0)
        return _marks(reading)

    def switch(self, name: str | None) -> None:
        """Readers take this adapter from now on; None: the one that came with the program."""
        use_adapter(self.models_dir, name)

    def _base(self, manifest: ModelManifest) -> Manifest:
        for known in manifests(self.models_dir).values():
            if known.sha256 == manifest.base_sha256:
                check_licence(known, self.settings().accepted_licences)
                return known
        raise BadConfig(
            f"base_sha256: no model of that hash ({str(manifest.base_sha256)[:12]}…) is in the "
            "catalogue here; roll the base model out first"
        )


def _question(adapter: str) -> ReadingRequest:
    options = tuple(f" {word}" for word in SIGNAL_WORDS)
    return ReadingRequest(
        request_id="canary",
        texts=(reading_prefix(LABELS, TEXT),),
        questions=tuple(Question(text=signal_question(one), options=options) for one in LABELS),
        adapter=adapter,
        threads=1,
    )


def _marks(reading: Reading) -> dict[str, float]:
    chances = [dict(zip(SIGNAL_WORDS, one, strict=True)) for one in reading.probabilities[0]]
    for label, expected, found in zip(LABELS, EXPECTED, chances, strict=True):
        said = max(found, key=lambda word: found[word])
        if said != expected:
            raise BadAnswer(f"of {TEXT!r} it reads that {label} is {said}, not {expected}")
    return {"cases": float(len(LABELS)), "right": float(len(LABELS)), "seconds": reading.seconds}
