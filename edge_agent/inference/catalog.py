"""Which models there are, where their files lie, and whether a file is what it should be."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edge_agent.errors import BadConfig
from edge_agent.inference.gguf import BadModel, Header, read_header
from edge_agent.inference.manifest import BUILT_IN, NAME, Manifest, Template, Tier

VERIFIED = "verified.json"
MANIFEST_SUFFIX = ".model.toml"
KEPT_HASHES = 64
CHUNK = 1 << 20
YOUNG_NS = 2_000_000_000
"""The hash of a file that changed less than this ago is not remembered."""


class MissingModel(BadConfig):
    """The model is known but its file is not there (yet)."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A manifest and the file that it stands for."""

    manifest: Manifest
    path: Path


def manifests(models_dir: Path) -> dict[str, Manifest]:
    """All models by name: the built-in ones, then those added to ``models_dir``."""
    found = {manifest.name: manifest for manifest in BUILT_IN}
    for path in sorted(models_dir.glob(f"*{MANIFEST_SUFFIX}")):
        manifest = read_manifest(path)
        found[manifest.name] = manifest
    return found


def read_manifest(path: Path) -> Manifest:
    """The manifest in a TOML file. Raises ``BadConfig``."""
    try:
        return Manifest.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise BadConfig(f"{path} is no model manifest: {error}; remove or correct it") from None


def resolve(model: str, models_dir: Path) -> ModelFile:
    """The file of a catalogue name or of a path ending in ``.gguf``.

    Raises ``BadConfig`` for a name that is in no catalogue and ``MissingModel`` for an absent file.
    """
    if model.endswith(".gguf"):
        path = Path(model)
        if not path.is_file():
            raise MissingModel(f"the model file {path} does not exist; put it there")
        return ModelFile(describe(path, read_header(path)), path)
    manifest = _named(model, models_dir)
    path = location(manifest, models_dir)
    if not path.is_file():
        raise MissingModel(
            f"the file of model {model} is not there ({path}); fetch it with "
            f"`edge-agent model add {model}`"
        )
    return ModelFile(manifest, path)


def _named(name: str, models_dir: Path) -> Manifest:
    """The manifest of that name; a damaged one of another model is no obstacle."""
    built_in = {manifest.name: manifest for manifest in BUILT_IN}
    path = models_dir / f"{name}{MANIFEST_SUFFIX}"
    if NAME.fullmatch(name) and path.is_file():
        return read_manifest(path)
    if name in built_in:
        return built_in[name]
    known = sorted(
        {
            *built_in,
            *(p.name.removesuffix(MANIFEST_SUFFIX) for p in models_dir.glob(f"*{MANIFEST_SUFFIX}")),
        }
    )
    raise BadConfig(
        f"no model is called {name!r}; there are {', '.join(known)}, or give a .gguf file"
    )


def location(manifest: Manifest, models_dir: Path) -> Path:
    """Where the file of ``manifest`` lies or would lie; never outside its root."""
    if manifest.source.startswith("package:"):
        package, _, inside = manifest.source.removeprefix("package:").partition("/")
        return _below(_package_folder(package, manifest), inside, manifest)
    name = manifest.source
    if name.startswith("https://"):
        name = f"{manifest.name}.gguf"
    path = _below(models_dir, name, manifest)
    if not path.resolve().is_relative_to(models_dir.resolve()):
        raise BadConfig(
            f"{path} is a link that leads out of {models_dir}; put the model {manifest.name} "
            "itself there"
        )
    return path


def _package_folder(package: str, manifest: Manifest) -> Path:
    # find_spec of a top-level package does not run its code: some model packages import a lot
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise MissingModel(
            f"the model {manifest.name} comes with the Python package {package.replace('_', '-')}, "
            "which is not installed; install it with --no-deps"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _below(root: Path, inside: str, manifest: Manifest) -> Path:
    parts = Path(inside).parts
    if not parts or Path(inside).is_absolute() or ".." in parts:
        raise BadConfig(
            f"the manifest of {manifest.name} names the file {inside!r}, which lies outside of "
            f"{root}; write a name inside it"
        )
    return root / inside


def describe(path: Path, header: Header) -> Manifest:
    """A manifest for a file that has none, from its header."""
    stem = "".join(c if c.isalnum() or c in "._-" else "-" for c in path.stem.lower())
    name = stem.strip("-._")[:64] or "model"
    licence = str(header.metadata.get("general.license", "unknown"))[:64]
    return Manifest(
        name=name,
        title=str(header.metadata.get("general.name", name))[:200],
        source=path.name,
        size=header.file_size,
        architecture=header.architecture,
        licence=licence,
        template=_template(header, path),
        tier=_tier(header),
    )


def _template(header: Header, path: Path) -> Template:
    text = str(header.metadata.get("tokenizer.chat_template", ""))
    if "<|start_header_id|>" in text:
        return "llama3"
    if "<|im_start|>" in text:
        return "chatml"
    raise BadModel(
        f"{path} has a chat template that is not known here; supported are ChatML and Llama 3"
    )


def _tier(header: Header) -> Tier:
    parameters = 0
    for tensor in header.tensors:
        elements = 1
        for extent in tensor.shape:
            elements *= extent
        parameters += elements
    bounds: tuple[tuple[float, Tier], ...] = (
        (0.5e9, "embedded"),
        (2.0e9, "1.2b"),
        (3.5e9, "2.8b"),
        (6.0e9, "4.5b"),
    )
    return next((tier for bound, tier in bounds if parameters < bound), "other")


def sha256_of(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """Hash of the file."""
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            if progress is not None:
                progress(len(chunk))
    return digest.hexdigest()


def verify(model: ModelFile, cache_dir: Path, pinned: Path | None = None) -> str:
    """The file's hash, remembered in ``cache_dir`` by path, size and change times.

    ``pinned``: where to read the file instead of at its path, such as an open descriptor. Raises
    ``BadModel`` if the header is unsound, or size, hash or architecture are not the manifest's.
    """
    pinned = pinned or model.path
    header = read_header(pinned)
    manifest = model.manifest
    if manifest.size is not None and header.file_size != manifest.size:
        raise BadModel(
            f"{model.path} has {header.file_size} bytes where {manifest.name} has {manifest.size}; "
            "fetch it again"
        )
    if manifest.architecture and header.architecture != manifest.architecture:
        raise BadModel(
            f"{model.path} is of architecture {header.architecture}, not {manifest.architecture} "
            f"as {manifest.name} must be"
        )
    digest = _cached_hash(model.path, pinned, cache_dir / VERIFIED)
    if manifest.sha256 is not None and digest != manifest.sha256:
        raise BadModel(
            f"{model.path} is not the file of {manifest.name}: its sha256 is {digest}, expected "
            f"{manifest.sha256}; fetch it again"
        )
    return digest


def stamp_of(path: Path) -> list[int]:
    """Changes whenever the content does: size, times and inode."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _cached_hash(path: Path, pinned: Path, cache: Path) -> str:
    known = _read_cache(cache)
    stamp = stamp_of(pinned)
    entry = known.get(str(path))
    if isinstance(entry, list) and len(entry) == 5 and entry[:4] == stamp:
        return str(entry[4])
    digest = sha256_of(pinned)
    if abs(time.time_ns() - stamp[2]) < YOUNG_NS:
        return digest  # a change within the same tick of the clock would leave the stamp as it is
    known.pop(str(path), None)
    known[str(path)] = [*stamp, digest]
    _write_cache(cache, dict(list(known.items())[-KEPT_HASHES:]))
    return digest


def _read_cache(cache: Path) -> dict[str, object]:
    try:
        document = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # a cache: absent or damaged, the hash is taken again
    return document if isinstance(document, dict) else {}


def _write_cache(cache: Path, document: dict[str, object]) -> None:
    fresh = cache.with_suffix(f".{os.getpid()}")
    try:
        fresh.write_text(json.dumps(document), encoding="utf-8")
        fresh.replace(cache)
    except OSError:
        return  # a read-only directory: the hash is taken at each load instead
