"""Brings a desired model onto the gateway: fetch, check, try, switch, prove; or leave it as it was.

Each move is saved before its effect, and every step may be repeated: after a crash the roll-out
goes on with the step that it was in. One thread calls ``run``; messages may come from another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import structlog

from edge_agent.config.settings import Settings
from edge_agent.errors import BadConfig, EdgeAgentError, Unavailable
from edge_agent.rollout.admission import admit
from edge_agent.rollout.decide import (
    MAX_FAILURES,
    Outcome,
    Probation,
    RolloutState,
    Verdict,
    judge_probation,
    judge_revision,
    known_outcome,
)
from edge_agent.rollout.download import PAUSES_S, Download
from edge_agent.rollout.effects import Memory
from edge_agent.rollout.journal import Journal, acceptance, arrival, digest_of
from edge_agent.rollout.model_decide import ModelLedger, ModelState, model_report, move_model
from edge_agent.rollout.model_document import (
    DesiredModel,
    ModelContent,
    ModelManifest,
    read_desired_model,
)
from edge_agent.rollout.model_files import ModelFiles
from edge_agent.rollout.signature import TrustAnchors

S = ModelState
log = structlog.get_logger()

PUT_OFF_S = 10.0
"""Until a step that the environment prevented is taken again."""


def _nobody(_: dict[str, Any]) -> None:
    """Nobody wants to hear of changes."""


@dataclass(frozen=True, slots=True)
class ModelEffects:
    """What the model roll-out asks of the daemon."""

    settings: Callable[[], Settings]
    """What is in effect."""
    models_dir: Callable[[], Path]
    check: Callable[[Path, ModelManifest], None]
    """Header, architecture, licence, memory plan. Raises ``BadConfig``; loads nothing."""
    canary: Callable[[Path, ModelManifest, Callable[[], bool]], dict[str, float]]
    """Load it beside the model in use (or in turn with it), ask it known questions, measure; ends
    early once the callable says so. Raises ``BadConfig`` or ``BadAnswer`` where it is no good,
    ``Unavailable`` to try again."""
    switch: Callable[[str | None], None]
    """Take the catalogue's model of that name from the next job on; None: that of the settings.
    Raises ``EdgeAgentError``."""
    unhealthy: Callable[[], str | None]
    """Why the model in use does not do, None while it does."""
    anchors: Callable[[], TrustAnchors | None]
    kind: Literal["model", "adapter"] = "model"
    """What this roll-out brings: each has topics and a state of its own."""
    report: Callable[[dict[str, Any]], None] = _nobody
    clock_trusted: Callable[[], bool] = lambda: True
    clock: Callable[[], float] = time.time


class ModelRollout:
    """The model roll-out of one gateway. Thread-safe."""

    def __init__(self, memory: Memory, effects: ModelEffects) -> None:
        self._journal = Journal(memory, ModelLedger, effects.kind)
        self._effects = effects
        self._lock = threading.RLock()
        self._news = threading.Event()
        self._probation = Probation()
        self._stepped: float | None = None
        self._download = Download(self._journal.ledger.fetched_bytes)

    def resume(self) -> str | None:
        """Once, at the start: the name of the model to use, None for that of the settings."""
        with self._lock:
            ledger = self.ledger
            if ledger.state in (S.SWITCHING, S.PROBATION):
                if ledger.starts >= MAX_FAILURES:
                    why = f"the daemon died in {ledger.starts} starts with it"
                    self._end(S.ROLLED_BACK, why, tell=False)
                else:
                    self._move(S.SWITCHING, starts=ledger.starts + 1)
            content = self.ledger.in_use
            return content.model.name if content is not None and content.model else None

    def handle_desired(self, payload: bytes) -> None:
        """A message from ``…/model/desired``. When it returns the document is kept, and the
        message may be acknowledged; ``run`` does the rest."""
        if not payload:
            return
        with self._lock:
            ledger = self.ledger
            if not self._effects.settings().rollout.remote:
                log.warning("model_desired_ignored", reason="rollout.remote is false here")
            elif digest_of(payload) == ledger.digest:
                if ledger.state is S.FAILED and ledger.failures < MAX_FAILURES:
                    self._to(S.VERIFIED, reason="", outcome=None)
            elif ledger.at_rest:
                self._to(S.RECEIVED, **arrival(payload))
            elif self._journal.queue(payload, lambda waiting: self._admit(waiting)[1]):
                self._effects.report(self.reported())
        self._news.set()

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Until ``stop``: one step after the other, resting while there is nothing to do."""

        def stopped() -> bool:
            beat()
            return stop.is_set()

        self._effects.report(self.reported())
        while not stopped():
            self._news.clear()
            try:
                pause_s = self.step(stopped)
            except (Unavailable, OSError) as error:  # the disk, say: the step is taken again
                log.warning("model_step_put_off", state=self.ledger.state.value, reason=str(error))
                pause_s = PUT_OFF_S
            rest = time.monotonic() + pause_s
            while not stopped() and (left := rest - time.monotonic()) > 0:
                if self._news.wait(min(left, 0.5)):
                    break

    def step(self, stopped: Callable[[], bool] = lambda: False) -> float:
        """Take the next step. Seconds until there may be another one; 0: at once."""
        with self._lock:
            ready = self.ledger.at_rest or self.ledger.untouched
            if self.ledger.waiting is not None and ready:
                self._to(S.RECEIVED, **self._journal.taken_from_waiting())
            state = self.ledger.state
        now = self._effects.clock()
        step_s = now - (self._stepped if self._stepped is not None else now)
        self._stepped = now
        match state:
            case S.RECEIVED:
                self._verify()
            case S.VERIFIED:
                return self._begin()
            case S.FETCHING:
                return self._fetch(stopped)
            case S.FETCHED:
                self._check()
            case S.CHECKED:
                self._to(S.CANARY, starts=1)
            case S.CANARY:
                return self._try(stopped)
            case S.SWITCHING:
                self._switch()
            case S.PROBATION:
                return self._prove(step_s)
            case _:
                return 60.0
        return 0.0

    @property
    def ledger(self) -> ModelLedger:
        """The state as it is saved."""
        return self._journal.ledger

    def reported(self) -> dict[str, Any]:
        """What ``…/model/reported`` says, ready for JSON."""
        with self._lock:
            own = self._effects.settings().agent.id
            return model_report(self.ledger, own, fetched_bytes=self._download.have)

    # A document's way in

    def _admit(self, payload: bytes) -> tuple[DesiredModel, ModelContent]:
        now = self._effects.clock() if self._effects.clock_trusted() else None
        anchors = self._effects.anchors()
        if anchors is None:
            log.warning("model_unsigned_accepted", remedy="set rollout.trust_anchors")
        desired, signed = admit(payload, read_desired_model, self._effects.settings(), anchors, now)
        if desired.kind != self._effects.kind:
            raise BadConfig(f"kind: {desired.kind} came on the topic for {self._effects.kind}s")
        return desired, ModelContent(**signed.model_dump(), model=desired.model)

    def _verify(self) -> None:
        with self._lock:
            try:
                desired, content = self._admit(self._journal.received())
            except BadConfig as error:
                self._to(S.REJECTED, reason=str(error)[:4000], payload=None)
                return
            known: dict[str, Any] = {"revision": content.revision, "payload": None}
            verdict, why = judge_revision(self.ledger, content.revision, content.digest)
            if verdict is Verdict.REPLAYED:
                self._to(S.REJECTED, reason=why, **known)
            elif verdict is Verdict.NEW:
                self._accept(desired, content)
            else:
                self._to(S(known_outcome(self.ledger, content)), reason=why, **known)

    def _accept(self, desired: DesiredModel, content: ModelContent) -> None:
        if desired.restore:
            previous = self.ledger.previous
            earlier = previous.model if previous is not None else None
            content = content.model_copy(update={"model": earlier})
        self._download = Download()
        self._to(S.VERIFIED, fetched_bytes=0, canary={}, **acceptance(content))

    # The steps

    def _begin(self) -> float:
        content = self._candidate()
        due = content.not_before
        if due is not None and self._effects.clock_trusted() and due > self._effects.clock():
            return 1.0
        confirmed = self.ledger.confirmed
        in_use = confirmed.model if confirmed is not None else None
        if content.model == in_use:
            self._confirm("it is in use already")
        elif content.model is None:
            self._to(S.SWITCHING, starts=1)
        elif content.model.size > (limit := self._effects.settings().govern.memory_mb * 1_000_000):
            why = f"its weights alone have {content.model.size / 1e6:.0f} MB"
            self._end(S.REJECTED, f"size: {why}; govern.memory_mb allows {limit / 1e6:.0f}")
        else:
            self._to(S.FETCHING)
        return 0.0

    def _fetch(self, stopped: Callable[[], bool]) -> float:
        from edge_agent.rollout.fetch import Means, Order, fetch  # an HTTP client, rarely needed

        manifest = self._manifest()
        settings = self._effects.settings().rollout
        before = self._download.have
        means = Means(
            folder=self._effects.models_dir(),
            import_dir=settings.model_import_dir,
            ca=settings.model_ca,
            bytes_per_s=settings.download_kbps * 1000.0 if settings.download_kbps else None,
            disk_reserve=settings.disk_reserve_mb * 1_000_000,
        )
        order = Order(manifest.source, manifest.size, manifest.sha256, manifest.file_name)
        try:
            fetch(order, means, self._progress, lambda: stopped() or self._superseded())
        except BadConfig as error:
            self._end(S.REJECTED, str(error))
            self._files.discard_part(manifest)
            return 0.0
        except (Unavailable, OSError) as error:
            return self._fetch_later(str(error), before)
        self._download.have = manifest.size
        self._to(S.FETCHED, fetched_bytes=manifest.size, reason="")
        return 0.0

    def _superseded(self) -> bool:
        return self.ledger.waiting is not None

    def _progress(self, have: int) -> None:
        if self._download.came(have, self._manifest().size):
            self._save(fetched_bytes=have)

    def _fetch_later(self, why: str, before: int) -> float:
        if self._superseded():
            return 0.0
        pause_s = self._download.interrupted(before)
        log.warning("model_fetch_interrupted", reason=why, have=self._download.have)
        if pause_s is None:
            self._end(S.FAILED, why, failures=self.ledger.failures + 1)
            return 0.0
        if why != self.ledger.reason:
            self._save(reason=why, fetched_bytes=self._download.have)
        return pause_s

    def _check(self) -> None:
        manifest = self._manifest()
        try:
            self._effects.check(self._files.path(manifest), manifest)
        except BadConfig as error:
            self._end(S.REJECTED, str(error))
            self._forget(manifest)
            return
        self._to(S.CHECKED)

    def _try(self, stopped: Callable[[], bool]) -> float:
        manifest = self._manifest()
        try:
            figures = self._effects.canary(self._files.path(manifest), manifest, stopped)
            self._files.register(manifest)
        except (Unavailable, OSError) as error:
            if stopped():
                return 1.0
            failures = self.ledger.failures + 1
            if failures >= MAX_FAILURES:
                self._end(S.FAILED, f"canary: {error}", failures=failures)
                return 0.0
            self._save(failures=failures, reason=f"canary: {error}")
            return PAUSES_S[failures]
        except EdgeAgentError as error:
            self._end(S.REJECTED, f"canary: {error}")
            self._forget(manifest)
            return 0.0
        self._to(S.SWITCHING, starts=1, canary=figures, reason="")
        return 0.0

    def _switch(self) -> None:
        content = self._candidate()
        try:
            self._effects.switch(content.model.name if content.model is not None else None)
        except EdgeAgentError as error:
            self._undo(f"could not be switched to: {error}")
            return
        self._probation = Probation()
        self._to(S.PROBATION)

    def _prove(self, step_s: float) -> float:
        length_s = self._effects.settings().rollout.probation_s
        complaint = self._effects.unhealthy()
        self._probation, state = judge_probation(self._probation, step_s, complaint, length_s)
        if state is RolloutState.CONFIRMED:
            self._confirm("")
        elif state is RolloutState.ROLLED_BACK:
            self._undo(f"not healthy with it: {self._probation.reason}")
        return 1.0

    def _undo(self, why: str) -> None:
        """Saved first: a start after a crash in between uses the model before."""
        self._end(S.ROLLED_BACK, why)
        confirmed = self.ledger.confirmed
        name = confirmed.model.name if confirmed is not None and confirmed.model else None
        try:
            self._effects.switch(name)
        except EdgeAgentError as error:
            log.warning("model_before_unusable", model=name, reason=str(error))
            self._effects.switch(None)

    def _confirm(self, reason: str) -> None:
        ledger = self.ledger
        kept = {self._name(ledger.candidate), self._name(ledger.confirmed)}
        dropped = [name for name in (self._name(ledger.previous), *ledger.removable) if name]
        changes: dict[str, Any] = {"confirmed": ledger.candidate, "failures": 0}
        if self._name(ledger.candidate) != self._name(ledger.confirmed):
            changes["previous"] = ledger.confirmed
            changes["removable"] = tuple(n for n in dict.fromkeys(dropped) if n not in kept)
        self._end(S.CONFIRMED, reason, **changes)
        for name in self.ledger.removable:
            self._files.remove(name)
        if self.ledger.removable:
            self._save(removable=())

    # What is meant

    @property
    def _files(self) -> ModelFiles:
        return ModelFiles(self._effects.models_dir())

    def _forget(self, manifest: ModelManifest) -> None:
        """Remove the file of a model that was refused, unless it is one in use."""
        kept = {self._name(self.ledger.confirmed), self._name(self.ledger.previous)}
        if manifest.name not in kept:
            self._files.remove(manifest.name)

    @staticmethod
    def _name(content: ModelContent | None) -> str | None:
        return content.model.name if content is not None and content.model is not None else None

    def _candidate(self) -> ModelContent:
        if self.ledger.candidate is None:
            raise BadConfig("the saved model roll-out holds no candidate; push the model again")
        return self.ledger.candidate

    def _manifest(self) -> ModelManifest:
        manifest = self._candidate().model
        if manifest is None:
            raise BadConfig("the saved model roll-out holds no manifest; push the model again")
        return manifest

    # What is saved

    def _end(self, state: ModelState, reason: str, *, tell: bool = True, **changes: object) -> None:
        """The candidate came to its end."""
        outcome = Outcome(state=state, revision=self.ledger.revision, reason=reason[:4000])
        self._move(state, reason=outcome.reason, outcome=outcome, **changes)
        if tell:
            self._effects.report(self.reported())

    def _to(self, state: ModelState, **changes: object) -> None:
        self._move(state, **changes)
        self._effects.report(self.reported())

    def _move(self, state: ModelState, **changes: object) -> None:
        with self._lock:
            before = self.ledger
            self._journal.keep(move_model(before, state, **changes))
        log.info(
            f"{self._effects.kind}_rollout",
            revision=self.ledger.revision,
            before=before.state.value,
            state=state.value,
            reason=self.ledger.reason,
        )

    def _save(self, **changes: object) -> None:
        with self._lock:
            self._journal.change(**changes)
        self._effects.report(self.reported())
