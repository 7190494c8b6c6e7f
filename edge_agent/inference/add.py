"""Adding and removing models: from the catalogue, a file, a Python package or an address."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from edge_agent.errors import BadConfig
from edge_agent.inference.catalog import (
    MANIFEST_SUFFIX,
    ModelFile,
    describe,
    location,
    sha256_of,
)
from edge_agent.inference.fetch import Download, fetch
from edge_agent.inference.gguf import BadModel, read_header
from edge_agent.inference.manifest import BUILT_IN, NAME, Manifest
from edge_agent.inference.tuning import tuning_path

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operator says of a model; the header says the rest."""

    source: str
    """A built-in name, a ``.gguf`` file, ``package:PACKAGE/FILE`` or an https address."""
    name: str | None = None
    sha256: str | None = None
    licence: str | None = None


def add_model(
    wanted: Wanted, models_dir: Path, progress: Progress, *, pause_s: float = 1.0
) -> ModelFile:
    """Get the file, check it, write its manifest to ``models_dir``.

    Raises ``BadConfig`` (its kind ``BadModel`` for the file itself) or ``Unavailable``; the model
    of that name that may have been there before stays until the new one has passed.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    known = next((m for m in BUILT_IN if m.name == wanted.source), None)
    if known is not None:
        wanted = Wanted(known.source, known.name, wanted.sha256 or known.sha256, known.licence)
    if wanted.source.startswith("https://"):
        path, digest = _fetched(wanted, models_dir, progress, pause_s)
        source = path.name
    elif wanted.source.startswith("package:"):
        path = location(Manifest(name="new", source=wanted.source), models_dir)
        source, digest = wanted.source, sha256_of(path)
    else:
        path, digest = _copied(wanted, models_dir)
        source = path.name
    manifest = _manifest(wanted, path, source, digest)
    if known is not None:
        kept = {"source": source, "sha256": digest, "size": manifest.size}
        manifest = known.model_copy(update=kept)
    _write(manifest, models_dir)
    return ModelFile(manifest, path)


def _name(wanted: Wanted) -> str:
    stem = wanted.name or Path(urlsplit(wanted.source).path).stem.lower()
    if not NAME.fullmatch(stem):
        raise BadConfig(f"{stem!r} can't be a model's name: small letters, digits and . _ - only")
    return stem


def _fetched(
    wanted: Wanted, models_dir: Path, progress: Progress, pause_s: float
) -> tuple[Path, str]:
    final = models_dir / f"{_name(wanted)}.gguf"
    fresh = final.with_suffix(".fetched")
    download = Download(wanted.source, fresh, wanted.sha256, pause_s=pause_s)
    digest = fetch(download, progress)
    return _checked(fresh, final), digest


def _copied(wanted: Wanted, models_dir: Path) -> tuple[Path, str]:
    origin = Path(wanted.source)
    if not origin.is_file():
        names = ", ".join(manifest.name for manifest in BUILT_IN)
        raise BadConfig(
            f"{wanted.source} is no file, no package: and no https:// address, and no model of the "
            f"catalogue ({names})"
        )
    read_header(origin)
    final = models_dir / f"{_name(wanted)}.gguf"
    fresh = final.with_suffix(".copied")
    shutil.copyfile(origin, fresh)
    digest = sha256_of(fresh)
    if wanted.sha256 is not None and digest != wanted.sha256:
        fresh.unlink()
        raise BadModel(f"{origin} has the sha256 {digest}, not {wanted.sha256}; nothing was kept")
    return _checked(fresh, final), digest


def _checked(fresh: Path, final: Path) -> Path:
    """Move a file that has arrived to its place if its header is sound; else delete it."""
    try:
        read_header(fresh)
    except BadModel:
        fresh.unlink()
        raise
    fresh.replace(final)
    return final


def _manifest(wanted: Wanted, path: Path, source: str, digest: str) -> Manifest:
    described = describe(path, read_header(path))
    changes: dict[str, object] = {"source": source, "sha256": digest}
    if wanted.name is not None:
        changes["name"] = wanted.name
    if wanted.licence is not None:
        changes["licence"] = wanted.licence
    return Manifest.model_validate(described.model_dump() | changes)


def _write(manifest: Manifest, models_dir: Path) -> None:
    """The manifest as TOML; only plain values, so no writer is needed."""
    lines = []
    document = manifest.model_dump(mode="json", exclude_none=True, exclude={"sampling"})
    for key, value in document.items():
        text = str(value).replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f"{key} = {value}" if isinstance(value, int) else f'{key} = "{text}"')
    lines.append("\n[sampling]")
    lines += [f"{key} = {value}" for key, value in manifest.sampling.model_dump().items()]
    path = models_dir / f"{manifest.name}{MANIFEST_SUFFIX}"
    fresh = path.with_suffix(".new")
    fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
    fresh.replace(path)


def remove_model(name: str, models_dir: Path) -> list[Path]:
    """Delete what was added under ``name``; returns the files. Raises ``BadConfig`` if nothing."""
    if not NAME.fullmatch(name):
        raise BadConfig(f"{name!r} is no model's name")
    found = [
        models_dir / f"{name}{MANIFEST_SUFFIX}",
        models_dir / f"{name}.gguf",
        models_dir / f"{name}.fetched.part",
        tuning_path(name, models_dir),
        *models_dir.glob(f"{name}.*.gguf"),
    ]
    removed = [path for path in found if path.is_file()]
    if not removed:
        raise BadConfig(f"nothing of a model {name} lies in {models_dir}; built-in ones stay")
    for path in removed:
        path.unlink()
    return removed
