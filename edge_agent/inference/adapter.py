"""LoRA adapters of the catalogue: which there are, and to which base model each belongs.

An adapter changes what one base model does, and only that one: it is tied to it by hash. It lies
beside its manifest, as package data or in the models directory (``NAME.adapter.toml``).
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from edge_agent.config.section import Section
from edge_agent.errors import BadConfig
from edge_agent.inference.catalog import sha256_of
from edge_agent.inference.gguf import BadModel, read_adapter_header
from edge_agent.inference.manifest import ModelName, Sha256

SUFFIX = ".adapter.toml"
IN_USE = "adapter-in-use"
"""File in the models directory with the name of the adapter that a roll-out chose."""
LARGEST = 1 << 30
FAULT_READING = "fault-reading"


class AdapterManifest(Section):
    """One adapter."""

    name: ModelName
    """Name in requests and settings."""
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    """File beside the manifest."""
    size: int = Field(gt=0, le=LARGEST)
    """Bytes."""
    sha256: Sha256
    task: Literal["fault-reading", "fault-wording"]
    """What it was trained for: ``fault-reading`` reads a card's texts into symptom tables,
    ``fault-wording`` explains a fault from the evidence (none ships, the daemon asks none)."""
    prompt_version: str = Field(default="", max_length=32)
    """Version of the prompt that it was trained with."""
    base: str = Field(max_length=64)
    """Name of its base model, for people."""
    base_sha256: Sha256
    """Hash of the base model's file; with any other it is refused."""
    rank: int = Field(default=0, ge=0, le=4096)
    alpha: float = 0.0
    licence: str = Field(default="unknown", max_length=64)
    trained: str = Field(default="", max_length=500)
    """On what, for people."""
    words: tuple[str, ...] = ()
    """The words that it answers with."""
    temperatures: dict[
        Literal["said", "none", "speed"], Annotated[float, Field(ge=0.1, le=10)]
    ] = {}
    """Of its probabilities, by kind of answer; fitted on texts that it was not trained on."""
    figures: dict[str, float] = {}
    """What was measured of it, by name."""


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """A manifest and the file that it stands for."""

    manifest: AdapterManifest
    path: Path


def adapters(models_dir: Path | None = None) -> dict[str, AdapterFile]:
    """All adapters by name: those of the package, then those added to ``models_dir``. Raises
    ``BadConfig`` for a manifest that cannot be read."""
    package = Path(str(files("edge_agent.inference"))) / "adapters"
    paths = sorted(package.glob("*.toml"))
    if models_dir is not None:
        paths += sorted(models_dir.glob(f"*{SUFFIX}"))
    found = [_read(path) for path in paths]
    return {one.manifest.name: one for one in found}


def adapter_for(task: str, base_sha256: str, models_dir: Path | None = None) -> AdapterFile | None:
    """The adapter for a task on a base model: the one that a roll-out put into use, else the
    package's, else the first that was added."""
    fitting = {
        name: one
        for name, one in adapters(models_dir).items()
        if (one.manifest.task, one.manifest.base_sha256) == (task, base_sha256)
    }
    chosen = in_use(models_dir) if models_dir is not None else None
    if chosen in fitting:
        return fitting[chosen]
    return next(iter(fitting.values()), None)


def in_use(models_dir: Path) -> str | None:
    """The adapter that a roll-out put into use; None: none did."""
    try:
        return (models_dir / IN_USE).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


def use_adapter(models_dir: Path, name: str | None) -> None:
    """Put the adapter ``name`` into use for its task and base; None: the one of the package."""
    path = models_dir / IN_USE
    if name is None:
        path.unlink(missing_ok=True)
        return
    fresh = path.with_suffix(".new")
    fresh.write_text(f"{name}\n", encoding="utf-8")
    fresh.replace(path)


def checked(name: str, base_sha256: str, architecture: str, models_dir: Path) -> AdapterFile:
    """The adapter called ``name``, fit to be loaded on that base model. Raises ``BadConfig`` where
    it is unknown, belongs to another base, or its file is not what its manifest says."""
    known = adapters(models_dir)
    found = known.get(name)
    if found is None:
        names = ", ".join(sorted(known)) or "none"
        raise BadConfig(f"no adapter is called {name!r}; there are: {names}")
    manifest = found.manifest
    if manifest.base_sha256 != base_sha256:
        raise BadConfig(
            f"the adapter {name} belongs to {manifest.base} ({manifest.base_sha256[:12]}…), not to "
            f"the model in use ({base_sha256[:12]}…); choose that model, or no adapter"
        )
    header = read_adapter_header(found.path)
    if header.architecture != architecture:
        raise BadModel(
            f"{found.path} was made for the architecture {header.architecture}, the model's is "
            f"{architecture}"
        )
    if header.file_size != manifest.size or sha256_of(found.path) != manifest.sha256:
        raise BadModel(f"{found.path} is not the file of its manifest; fetch or install it again")
    return found


def _read(path: Path) -> AdapterFile:
    try:
        manifest = AdapterManifest.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise BadConfig(f"{path} is no adapter manifest: {error}; remove or correct it") from None
    return AdapterFile(manifest, path.parent / manifest.file)
