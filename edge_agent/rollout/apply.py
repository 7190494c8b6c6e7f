"""Puts desired settings into effect, step by step, so that any step may be the last one.

Each move is saved before its effect. At a start ``resume`` says which settings to run with, and
``tick`` goes on from there. Nothing is ever between: either the candidate is in effect and under
probation, or the last good settings are.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog

from edge_agent.config.settings import Settings
from edge_agent.errors import BadConfig, EdgeAgentError
from edge_agent.rollout.admission import admit, anchors_of
from edge_agent.rollout.decide import (
    LONGEST_STEP_S,
    MAX_FAILURES,
    Flow,
    Outcome,
    Probation,
    Rollout,
    RolloutState,
    Verdict,
    judge_flow,
    judge_probation,
    judge_revision,
    known_outcome,
    move,
    watch_flow,
)
from edge_agent.rollout.document import (
    Content,
    Desired,
    compose,
    fingerprint,
    read_desired,
    restart_needed,
)
from edge_agent.rollout.effects import Effects, Memory
from edge_agent.rollout.journal import Journal, acceptance, arrival, digest_of
from edge_agent.rollout.report import reported
from edge_agent.rollout.signature import TrustAnchors

S = RolloutState
log = structlog.get_logger()


class ConfigRollout:
    """The configuration roll-out of one gateway. Thread-safe."""

    def __init__(self, file_document: Mapping[str, Any], memory: Memory, effects: Effects) -> None:
        """``file_document``: the tables of the local settings file. Raises ``BadConfig`` where
        they are not valid by themselves."""
        self._file = file_document
        self._journal = Journal(memory, Rollout, "config")
        self._effects = effects
        self._lock = threading.RLock()
        self._own = effects.validate(file_document)
        self._settings = self._own
        self._probation = Probation()
        self._ticked: float | None = None
        self._restarting = False
        self._rested_s = 0.0
        self._flow = Flow()
        self._plan_complaint: str | None = None

    def resume(self) -> Settings:
        """Once, at the start, before anything is built: the settings to run with. It reports
        nothing yet; the first ``tick`` does."""
        with self._lock:
            rollout = self.rollout
            self._settings = self._good_settings()
            if not self._own.rollout.remote or rollout.state not in (S.APPLYING, S.PROBATION):
                return self._settings
            if rollout.starts >= MAX_FAILURES:
                why = f"the daemon died in {rollout.starts} starts with it; it is put aside"
                self._give_up(why)
                return self._settings
            try:
                candidate = self._validated(rollout.candidate)
            except BadConfig as error:
                self._give_up(f"{error}; the local file was changed meanwhile")
                return self._settings
            self._move(S.APPLYING, starts=rollout.starts + 1)
            self._settings = candidate
            return candidate

    def handle_desired(self, payload: bytes, now: float) -> None:
        """A message from ``…/config/desired``; ``now``: wall clock, Unix seconds.

        When it returns the outcome is saved, and the message may be acknowledged. An empty
        payload (the retained message was cleared) changes nothing.
        """
        if not payload:
            return
        with self._lock:
            if not self._own.rollout.remote:
                log.warning("config_desired_ignored", reason="rollout.remote is false here")
            elif digest_of(payload) == self.rollout.digest:
                self._redelivered()
            elif self.rollout.at_rest and not self._restarting:
                self._receive(arrival(payload), now)
            elif self._journal.queue(payload, lambda waiting: self._admit(waiting, now)[1]):
                self._tell()

    def tick(self, now: float, unhealthy: str | None = None) -> None:
        """Every second or so. ``now``: wall clock, Unix seconds; its jumps end no probation.
        ``unhealthy``: None while all is well, else what is not."""
        with self._lock:
            if self._ticked is None:
                self._tell()  # a crash may have come between a move and its report
            step_s = now - (self._ticked if self._ticked is not None else now)
            self._ticked = now
            self._flow = watch_flow(self._flow, step_s, self._effects.readings())
            if self._restarting or not self._own.rollout.remote:
                return
            match self.rollout.state:
                case S.RECEIVED:
                    self._verify(now)
                case S.VERIFIED if self.rollout.waiting is None:
                    self._stage(now)
                case S.STAGED:
                    self._put_into_effect()
                case S.APPLYING:
                    self._begin_probation()
                case S.PROBATION:
                    self._prove(step_s, unhealthy)
                case _ if self.rollout.waiting is not None:
                    self._receive(self._journal.taken_from_waiting(), now)
                case S.FAILED if self.rollout.alternating:
                    self._alternate(step_s)

    @property
    def rollout(self) -> Rollout:
        """The state as it is saved."""
        return self._journal.ledger

    @property
    def settings(self) -> Settings:
        """What is in effect."""
        return self._settings

    def reported(self) -> dict[str, Any]:
        """What ``…/config/reported`` says, ready for JSON."""
        with self._lock:
            notes = self._effects.notes(self._settings)
            return reported(self.rollout, self._settings, self._trusted_keys(), notes)

    def anchors(self) -> TrustAnchors | None:
        """The keys that may sign now; None where any document is accepted. Raises ``BadConfig``
        where the anchors file cannot be read.

        Keys that came by a push count until someone edits the anchors file.
        """
        filed = anchors_of(self._own)
        content = self.rollout.confirmed
        if filed is None or content is None or content.trust is None:
            return filed
        return TrustAnchors(keys=content.trust) if content.trust_base == filed.digest else filed

    def _trusted_keys(self) -> list[str] | None:
        try:
            anchors = self.anchors()
        except BadConfig:
            return []
        if anchors is None:
            return None
        return sorted(name for name, anchor in anchors.keys.items() if not anchor.revoked)

    # A document's way in

    def _redelivered(self) -> None:
        """The latest document once more: nothing to do, unless it failed and may try again."""
        rollout = self.rollout
        again = rollout.state is S.FAILED and rollout.failures < MAX_FAILURES
        if again and not rollout.alternating and not self._restarting:
            self._try_again()

    def _try_again(self) -> None:
        self._to(S.STAGED, outcome=None, reason="")
        self._put_into_effect()

    def _alternate(self, step_s: float) -> None:
        """A new broker that was not reached: after a while with the old one, once more."""
        self._rested_s += min(max(step_s, 0.0), LONGEST_STEP_S)
        if self._rested_s >= self._settings.rollout.probation_s:
            self._rested_s = 0.0
            self._try_again()

    def _receive(self, arrived: dict[str, Any], now: float) -> None:
        self._to(S.RECEIVED, **arrived)
        self._verify(now)

    def _admit(self, payload: bytes, now: float) -> tuple[Desired, Content]:
        anchors = self.anchors()
        if anchors is None:
            log.warning("config_unsigned_accepted", remedy="set rollout.trust_anchors")
        trusted_now = now if self._effects.clock_trusted() else None
        desired, signed = admit(payload, read_desired, self._settings, anchors, trusted_now)
        content = Content(**signed.model_dump(), settings=desired.settings, patch=desired.patch)
        return desired, content

    # The steps

    def _verify(self, now: float) -> None:
        try:
            desired, content = self._admit(self._journal.received(), now)
        except BadConfig as error:
            self._to(S.REJECTED, reason=str(error)[:4000], payload=None)
            return
        known: dict[str, Any] = {"revision": content.revision, "payload": None}
        verdict, why = judge_revision(self.rollout, content.revision, content.digest)
        match verdict:
            case Verdict.REPLAYED:
                self._to(S.REJECTED, reason=why, **known)
            case Verdict.NEW:
                self._accept(desired, content, now)
            case Verdict.SAME | Verdict.RETRY:
                self._to(S(known_outcome(self.rollout, content)), reason=why, **known)
                self._redelivered()

    def _accept(self, desired: Desired, content: Content, now: float) -> None:
        try:
            content = self._completed(desired, content)
        except BadConfig as error:
            known: dict[str, Any] = {"revision": content.revision, "payload": None}
            self._to(S.REJECTED, reason=str(error), **known)
            return
        self._to(S.VERIFIED, restart=(), **acceptance(content))
        self._stage(now)

    def _completed(self, desired: Desired, content: Content) -> Content:
        """``content`` with what it takes over from earlier ones. Raises ``BadConfig``."""
        confirmed = self.rollout.confirmed
        parts: dict[str, Any] = {}
        if desired.restore:
            parts = _same_settings(self._earlier(desired.restore))
        elif desired.restore is None and desired.settings is None and desired.patch is None:
            parts = _same_settings(confirmed)
        if desired.trust is not None:
            filed = anchors_of(self._own)
            if filed is None:
                raise BadConfig("trust: name an anchors file in rollout.trust_anchors first")
            parts |= {"trust": desired.trust, "trust_base": filed.digest}
        elif confirmed is not None:
            parts |= {"trust": confirmed.trust, "trust_base": confirmed.trust_base}
        return content.model_copy(update=parts)

    def _earlier(self, revision: int) -> Content:
        for content in (self.rollout.confirmed, self.rollout.previous):
            if content is not None and content.revision == revision:
                return content
        raise BadConfig(f"restore: revision {revision} is not kept here; push its content instead")

    def _stage(self, now: float) -> None:
        candidate = self.rollout.candidate
        if candidate is None:
            self._settle(S.REJECTED, "the saved state holds no candidate")
            return
        due = candidate.not_before
        if due is not None and self._effects.clock_trusted() and due > now:
            return  # stays VERIFIED; a tick comes back to it
        try:
            settings = self._validated(candidate)
        except BadConfig as error:
            self._settle(S.REJECTED, str(error))
            return
        if fingerprint(settings) == fingerprint(self._settings):
            self._confirm("it changes nothing")
            return
        restart = restart_needed(self._settings, settings)
        self._to(S.STAGED, restart=restart, usual_s=self._flow.usual_s)
        self._put_into_effect()

    def _put_into_effect(self) -> None:
        rollout = self.rollout
        try:
            settings = self._validated(rollout.candidate)
        except BadConfig as error:
            self._settle(S.REJECTED, str(error))
            return
        if rollout.restart:
            self._to(S.APPLYING)
            self._restart(f"revision {rollout.revision} changes {', '.join(rollout.restart)}")
            return
        self._to(S.APPLYING, starts=rollout.starts + 1)
        try:
            self._effects.apply(settings)
        except (EdgeAgentError, OSError) as error:
            self._undo(S.FAILED, f"could not be put into effect: {error}")
            return
        self._settings = settings
        self._begin_probation()

    def _begin_probation(self) -> None:
        self._probation = Probation()
        self._flow = replace(self._flow, quiet_s=0.0)
        self._plan_complaint = self._complaint_of_plan()
        self._to(S.PROBATION)

    def _prove(self, step_s: float, unhealthy: str | None) -> None:
        length_s = self._settings.rollout.probation_s
        complaint = (
            unhealthy
            or judge_flow(self.rollout.usual_s, self._flow.quiet_s)
            or self._plan_complaint
        )
        self._probation, state = judge_probation(self._probation, step_s, complaint, length_s)
        if state is S.CONFIRMED:
            self._confirm("")
        elif state is S.ROLLED_BACK:
            why = f"not healthy with it: {self._probation.reason}"
            more = self.rollout.failures + 1 < MAX_FAILURES
            if self.rollout.moves_broker and more:
                self._undo(S.FAILED, f"{why}; it is tried again, alternately with the one before")
            else:
                self._undo(S.ROLLED_BACK, why)

    def _complaint_of_plan(self) -> str | None:
        """Why no model has room with the candidate; None if none had with the last good ones."""
        reason = self._effects.no_room(self._settings)
        before = reason and self._effects.no_room(self._good_settings())
        return None if before else reason

    def _confirm(self, reason: str) -> None:
        rollout = self.rollout
        self._settle(
            S.CONFIRMED, reason, confirmed=rollout.candidate, previous=rollout.confirmed, failures=0
        )

    def _undo(self, state: RolloutState, reason: str) -> None:
        """Back to the last good settings; saved first, so that a crash in between ends there."""
        rollout = self.rollout
        good = self._good_settings()
        by_restart = bool(rollout.restart)
        failures = rollout.failures + 1
        if failures >= MAX_FAILURES:
            reason = f"{reason}; failed {failures} times, it is put aside"
        self._move(
            state, reason=reason[:4000], outcome=self._outcome(state, reason), failures=failures
        )
        if by_restart:
            # The move is saved: whatever starts from here on runs with the good settings, so
            # these are what the report calls effective.
            self._settings = good
            self._tell()
            self._restart(f"revision {rollout.revision} is undone")
            return
        try:
            self._effects.apply(good)
        except (EdgeAgentError, OSError) as error:
            self._restart(f"the last good settings come back by a restart: {error}")
        self._settings = good
        self._tell()

    def _restart(self, why: str) -> None:
        self._restarting = True
        log.warning("config_restart", reason=why)
        self._effects.restart(why)

    # What is good, and what is saved

    def _good_settings(self) -> Settings:
        """The last good settings; the local file alone where they no longer fit it."""
        if not self._own.rollout.remote:
            return self._own
        try:
            return self._validated(self.rollout.confirmed)
        except BadConfig as error:
            log.warning("config_confirmed_unusable", reason=str(error), running="the local file")
            return self._own

    def _validated(self, content: Content | None) -> Settings:
        return self._effects.validate(compose(self._file, content))

    def _give_up(self, why: str) -> None:
        outcome = self._outcome(S.ROLLED_BACK, why)
        self._move(S.ROLLED_BACK, reason=outcome.reason, outcome=outcome)

    def _outcome(self, state: RolloutState, reason: str) -> Outcome:
        return Outcome(state=state, revision=self.rollout.revision, reason=reason[:4000])

    def _settle(self, state: RolloutState, reason: str, **changes: object) -> None:
        """The candidate came to its end."""
        self._to(state, reason=reason[:4000], outcome=self._outcome(state, reason), **changes)

    def _to(self, state: RolloutState, **changes: object) -> None:
        self._move(state, **changes)
        self._tell()

    def _move(self, state: RolloutState, **changes: object) -> None:
        before = self.rollout
        self._journal.keep(move(before, state, **changes))
        log.info(
            "config_rollout",
            revision=self.rollout.revision,
            before=before.state.value,
            state=state.value,
            reason=self.rollout.reason,
        )

    def _tell(self) -> None:
        self._effects.report(self.reported())


def _same_settings(content: Content | None) -> dict[str, Any]:
    """What makes another content the same settings as ``content``; None is the file alone."""
    if content is None:
        return {"settings": None, "patch": None}
    return {"settings": content.settings, "patch": content.patch}
