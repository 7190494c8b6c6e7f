"""Loads the model when it is needed and unloads it when it has long not been."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from edge_agent.errors import BadConfig, Unavailable
from edge_agent.inference.adapter import checked
from edge_agent.inference.catalog import ModelFile, resolve, stamp_of, verify
from edge_agent.inference.engine import Engine
from edge_agent.inference.gguf import read_header
from edge_agent.inference.manifest import check_licence
from edge_agent.inference.native import LOG_ERROR, LOG_WARNING, VERSION, ContextShape, route_log
from edge_agent.inference.plan import Plan, fit
from edge_agent.inference.prefix_store import PrefixStore
from edge_agent.inference.tuning import Variant, read_tuning

log = structlog.get_logger()

LINES_PER_LOAD = 40
"""Lines of llama.cpp's own log that are passed on per load; the rest is counted."""


@dataclass(frozen=True, slots=True)
class HolderSettings:
    """What the worker was told about the model."""

    model: str
    models_dir: Path
    cache_dir: Path
    context: int = 4096
    kv_type: str = "f16"
    threads: int = 2
    memory_mb: int = 0
    """0: no limit."""
    idle_unload_s: float = 900.0
    prefix_cache_mb: int = 256
    """Prompt prefixes on disk, below ``cache_dir``; 0: none."""
    accepted_licences: tuple[str, ...] = ()


class NativeLog:
    """Passes warnings and errors of llama.cpp on, boundedly, and remembers the last errors."""

    def __init__(self) -> None:
        self.recent: deque[str] = deque(maxlen=5)
        self._left = LINES_PER_LOAD
        self.dropped = 0

    def refill(self) -> None:
        """Start of a load: allow new lines, say how many were dropped."""
        if self.dropped:
            log.info("native_log_dropped", lines=self.dropped)
        self._left, self.dropped = LINES_PER_LOAD, 0

    def take(self, level: int, text: str) -> None:
        """One line of llama.cpp; only warnings and errors are passed on."""
        if level not in (LOG_WARNING, LOG_ERROR) or not text.strip():
            return
        if level == LOG_ERROR:
            self.recent.append(text[:200])
        if self._left <= 0:
            self.dropped += 1
            return
        self._left -= 1
        log.debug("llama_cpp", text=text[:300], severe=level == LOG_ERROR)


class ModelHolder:
    """The engine, while there is one. Every call re-checks the file: a model that was missing or
    broken is picked up as soon as it is there."""

    def __init__(self, settings: HolderSettings) -> None:
        self._settings = settings
        self._log = NativeLog()
        route_log(self._log.take)
        self.engine: Engine | None = None
        self.plan: Plan | None = None
        self._used = time.monotonic()

    def load(self) -> Engine:
        """The engine, loaded if need be. Raises ``Unavailable`` with the reason."""
        self._used = time.monotonic()
        if self.engine is None:
            started = time.monotonic()
            self._log.refill()
            try:
                self.engine = self._open(resolve(self._settings.model, self._settings.models_dir))
            except BadConfig as error:
                raise Unavailable(str(error)) from None
            seconds = round(time.monotonic() - started, 2)
            name, drafts = self.engine.identity.name, self.engine.drafts
            log.info("model_loaded", model=name, seconds=seconds, drafts=drafts)
        return self.engine

    def _open(self, model: ModelFile) -> Engine:
        check_licence(model.manifest, self._settings.accepted_licences)
        original = model.manifest.sha256
        model, variant = self._tuned(model)
        kv_type = self._settings.kv_type if variant.kv_type == "f16" else variant.kv_type
        # From here on the file is addressed by its descriptor: what was checked is what is loaded.
        # In the models' folder, where a roll-out writes, the last step is no link either.
        ours = model.path.is_relative_to(self._settings.models_dir)
        flags = os.O_RDONLY | os.O_CLOEXEC | (os.O_NOFOLLOW if ours else 0)
        try:
            descriptor = os.open(model.path, flags)
        except OSError as error:
            raise Unavailable(f"{model.path} can't be opened: {error.strerror}") from None
        try:
            pinned = f"/proc/self/fd/{descriptor}"
            stamp = stamp_of(Path(pinned))
            digest = verify(model, self._settings.cache_dir, Path(pinned))
            header = read_header(Path(pinned))
            limit = self._settings.memory_mb or float("inf")
            self.plan = fit(header, self._settings.context, kv_type, limit)
            shape = ContextShape(
                self.plan.context,
                batch=variant.batch,
                kv_type=kv_type,
                threads=self._settings.threads,
                flash_attention=variant.flash_attention,
            )
            store = self._store(digest, kv_type)
            # A file that was tuned here keeps the adapters of the one that it was made from.
            find = partial(
                checked,
                base_sha256=original or digest,
                architecture=header.architecture,
                models_dir=self._settings.models_dir,
            )
            engine = Engine(pinned, model.manifest, digest, shape, store, find)
        except Unavailable as error:
            said = "; ".join(self._log.recent)
            raise Unavailable(f"{model.path}: {error} ({said})" if said else str(error)) from None
        else:
            if stamp_of(Path(pinned)) != stamp:
                engine.close()
                raise Unavailable(f"{model.path} was changed while it was checked and loaded")
            return engine
        finally:
            os.close(descriptor)

    def _store(self, digest: str, kv_type: str) -> PrefixStore | None:
        if self._settings.prefix_cache_mb == 0:
            return None
        folder = self._settings.cache_dir / "prefixes"
        return PrefixStore(folder, self._settings.prefix_cache_mb, (digest, kv_type, VERSION))

    def _tuned(self, model: ModelFile) -> tuple[ModelFile, Variant]:
        """The file and variant that ``model tune`` chose, as long as they still belong to it."""
        tuning = read_tuning(model.manifest.name, self._settings.models_dir)
        if tuning is None or tuning.original_sha256 != model.manifest.sha256:
            return model, Variant()
        if tuning.file is None:
            return model, tuning.chosen.variant
        path = self._settings.models_dir / tuning.file
        if not path.is_file():
            log.warning("tuned_file_missing", file=str(path))
            return model, Variant()
        changes = {"sha256": tuning.sha256, "size": None, "source": tuning.file}
        return ModelFile(model.manifest.model_copy(update=changes), path), tuning.chosen.variant

    def idle(self) -> None:
        """Unload after the idle time; call now and then while there is no work."""
        limit = self._settings.idle_unload_s
        if self.engine is None or not limit or time.monotonic() - self._used < limit:
            return
        log.info("model_unloaded", idle_s=limit)
        self.drop()

    def drop(self) -> None:
        """Unload now."""
        if self.engine is not None:
            self.engine.close()
            self.engine = None
