"""Which model answers: the one that the settings name, or one that a roll-out brought.

A switch takes effect with the next job; one in flight ends on the model that it began with. Where
memory leaves no room for that model, a smaller one answers (``inference.fallbacks``) until there is
room again. The canary loads a new model in a worker of its own, beside the one in use where both
fit into the memory budget, in turn with it where they do not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from edge_agent.config.inference import InferenceSection
from edge_agent.config.load import validate
from edge_agent.domain.completion import Completion, CompletionRequest
from edge_agent.errors import BadAnswer, BadConfig, Unavailable
from edge_agent.inference.client import WorkerClient, WorkerStatus
from edge_agent.inference.gguf import read_header
from edge_agent.inference.manifest import BUILT_IN, Manifest, check_licence
from edge_agent.inference.plan import fit
from edge_agent.inference.tier import TierChoice
from edge_agent.models.canary import BUILT_IN_CASE, CanaryCase, Marks, examine, refuse_if_worse
from edge_agent.rollout.model_document import ModelManifest

log = structlog.get_logger(__name__)

SWITCH_GRACE_S = 60.0
PAUSE_GRACE_S = 15.0
"""For the job in flight when a canary needs the memory; after that it is tried again later."""


class ModelSwitch:
    """Owns the worker clients. Thread-safe.

    ``make`` builds a client for settings and a folder of its own; ``models_dir`` holds the added
    models; ``memory_limit_mb`` is what all workers together may take; ``cases`` are the stored
    incidents that a new model must know as well as the one in use does.
    """

    def __init__(
        self,
        settings: InferenceSection,
        folder: Path,
        make: Callable[[InferenceSection, Path], WorkerClient],
        models_dir: Path,
        memory_limit_mb: Callable[[], int],
        cases: Callable[[], Sequence[CanaryCase]] = lambda: (),
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._make = make
        self._memory_limit_mb = memory_limit_mb
        self._cases = cases
        self._lock = threading.Lock()
        self._name: str | None = None
        self._generation = 0
        self._trying = ""
        self._tiers = TierChoice(settings, models_dir)
        self._serving = settings.model
        self._worker = make(settings, folder)

    def complete(self, request: CompletionRequest, cancelled: Callable[[], bool]) -> Completion:
        """One answer of the model in use. Raises ``BadAnswer`` or ``Unavailable``."""
        with self._lock:
            if self._trying:
                raise Unavailable(f"the model {self._trying} is being tried; ask again shortly")
            old = self._follow_room()
            worker = self._worker
        if old is not None:
            old.close(PAUSE_GRACE_S)
        return worker.complete(request, cancelled)

    def status(self) -> WorkerStatus:
        """How the worker in use stands."""
        return self._worker.status()

    def give_way(self) -> None:
        """Let go of the memory of a loaded model now."""
        self._worker.give_way()

    def close(self, grace_s: float) -> None:
        """End the worker in use."""
        self._worker.close(grace_s)

    def check(self, path: Path, manifest: ModelManifest) -> None:
        """Header, architecture, licence and memory plan, without loading a weight; the hash was
        checked when the file came. Raises ``BadConfig``."""
        if self._settings.socket is not None:
            raise BadConfig("inference.socket: the worker's own unit chooses the model here")
        if manifest.name in {known.name for known in BUILT_IN}:
            raise BadConfig(f"name: {manifest.name} is a built-in model; give it another name")
        document = manifest.entry()
        entry = validate(Manifest, document, where="model")
        check_licence(entry, self._settings.accepted_licences)
        header = read_header(path)
        if entry.architecture and header.architecture != entry.architecture:
            found = f"the file's is {header.architecture}"
            raise BadConfig(f"architecture: {entry.architecture} is wanted, {found}")
        fit(header, self._settings.context, self._settings.kv_type, self._memory_limit_mb())

    def canary(
        self, path: Path, manifest: ModelManifest, stopped: Callable[[], bool]
    ) -> dict[str, float]:
        """Ask the model at ``path`` what is known. Returns figures of this device; raises
        ``BadAnswer`` where it is no good, ``Unavailable`` where it could not be tried or
        ``stopped`` says that nobody waits any more."""
        cases = [BUILT_IN_CASE, *self._cases()]
        old = self._marks_in_use(cases[1:], stopped)
        beside = self._fits_beside(path)
        if not beside:
            self._pause(manifest.name)
        folder = self._folder / "canary"
        folder.mkdir(parents=True, exist_ok=True)
        worker = self._make(self._settings.model_copy(update={"model": str(path)}), folder)
        try:
            new = examine(lambda request: worker.complete(request, stopped), cases)
            refuse_if_worse(new, old)
        finally:
            worker.close(0.0)
            self._resume()
        figures = {
            "beside": beside,
            "cases": new.of,
            "right": new.right,
            "tokens_per_s": round(new.tokens_per_s, 2),
        }
        before = {} if old is None else {"right_before": old.right}
        return {name: float(value) for name, value in (figures | before).items()}

    def switch(self, name: str | None) -> None:
        """Answer with the catalogue's model ``name`` from the next job on; None: the settings'."""
        with self._lock:
            if name == self._name:
                return
            self._name = name
            old = self._serve(self._wanted())
        log.info("model_switched", model=name or self._settings.model)
        threading.Thread(target=old.close, args=(SWITCH_GRACE_S,), name="old-worker").start()

    def unhealthy(self) -> str | None:
        """Why the model in use does not answer; None while it does."""
        status = self._worker.status()
        bad = status.state in ("unavailable", "backing-off")
        return f"{status.model}: {status.reason or status.state}" if bad else None

    def _wanted(self) -> str:
        """The model to answer with where there is room for it."""
        return self._name or self._settings.model

    def _follow_room(self) -> WorkerClient | None:
        """Change to the largest model that memory allows; the client to close, if it changed."""
        room = self._memory_limit_mb()
        model = self._tiers.choose(self._wanted(), room)
        if model == self._serving:
            return None
        log.warning("model_tier", model=model, wanted=self._wanted(), room_mb=room)
        return self._serve(model)

    def _serve(self, model: str) -> WorkerClient:
        """A client for ``model`` takes over; returns the one before it."""
        self._generation += 1
        folder = self._folder / f"worker-{self._generation % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        settings = self._settings.model_copy(update={"model": model})
        old, self._worker = self._worker, self._make(settings, folder)
        self._serving = model
        return old

    def _marks_in_use(
        self, cases: Sequence[CanaryCase], stopped: Callable[[], bool]
    ) -> Marks | None:
        """How the model in use does; None where there is no case, or it cannot answer now."""
        if not cases:
            return None
        try:
            return examine(lambda request: self.complete(request, stopped), cases)
        except (BadAnswer, Unavailable) as error:
            log.warning("canary_without_comparison", reason=str(error))
            return None

    def _fits_beside(self, path: Path) -> bool:
        limit = self._memory_limit_mb()
        plan = fit(read_header(path), self._settings.context, self._settings.kv_type, limit)
        return plan.total_mb + self._worker.status().rss_mb <= limit

    def _pause(self, name: str) -> None:
        with self._lock:
            self._trying = name
            old = self._worker
        old.close(PAUSE_GRACE_S)

    def _resume(self) -> None:
        with self._lock:
            if self._trying:
                self._serve(self._wanted())  # the one before it was closed by the pause
                self._trying = ""
