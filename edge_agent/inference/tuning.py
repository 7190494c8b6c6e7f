"""What ``model tune`` found best on this machine, written beside the manifest."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field, ValidationError

from edge_agent.config.section import Section
from edge_agent.inference.manifest import NAME, Sha256


class Variant(Section):
    """One way to run a model."""

    quantization: str = "original"
    """``original``, or the type that the weights were re-quantized to."""
    threads: int = Field(default=2, ge=1)
    """Threads."""
    batch: int = Field(default=512, ge=32)
    """Tokens per batch."""
    kv_type: str = "f16"
    """Type of the KV cache."""
    flash_attention: bool | None = None
    """None: llama.cpp decides."""


class Trial(Section):
    """What a variant measured, and how far its answers are from the original's."""

    variant: Variant
    prefill_tokens_per_second: float
    decode_ms: float
    kl: float = Field(ge=0)
    """Mean Kullback-Leibler divergence of the next token's distribution, nats, original first."""
    agreement: float = Field(ge=0, le=1)
    """Share of positions with the same most probable token."""

    def seconds(self, prompt: int, answer: int) -> float:
        """Foreseen time of ``prompt`` new tokens and ``answer`` decoded ones."""
        return prompt / self.prefill_tokens_per_second + answer * self.decode_ms / 1000


class Tuning(Section):
    """The choice for one model on this machine."""

    model: str
    original_sha256: Sha256
    file: str | None = None
    """Re-quantized file beside this one; None: the original is best."""
    sha256: Sha256 | None = None
    """Its hash."""
    chosen: Trial
    original: Trial


def tuning_path(name: str, models_dir: Path) -> Path:
    """Where the choice for the model ``name`` is kept."""
    return models_dir / f"{name}.tuned.json"


def write_tuning(tuning: Tuning, models_dir: Path) -> None:
    """Keep the choice; the file is replaced whole."""
    path = tuning_path(tuning.model, models_dir)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(tuning.model_dump(mode="json"), indent=1), encoding="utf-8")
    fresh.replace(path)


def read_tuning(name: str, models_dir: Path) -> Tuning | None:
    """The choice for ``name``, or None: absent or damaged means not tuned."""
    try:
        document = json.loads(tuning_path(name, models_dir).read_text(encoding="utf-8"))
        tuning = Tuning.model_validate(document)
    except (OSError, ValueError, ValidationError):
        return None
    sound = tuning.file is None or NAME.fullmatch(tuning.file) is not None
    return tuning if sound else None
