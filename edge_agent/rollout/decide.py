"""The roll-out's decisions: the table of states, which revision goes, when probation ends. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from edge_agent.domain.finding import Record
from edge_agent.errors import IllegalTransition
from edge_agent.rollout.document import Content, Signed


class RolloutState(StrEnum):
    """Where the latest desired document stands."""

    NONE = "none"
    """Nothing was ever desired."""
    RECEIVED = "received"
    """It lies here; not one byte of it has been believed."""
    VERIFIED = "verified"
    """Signature, addressee, revision and validity are right; its revision is used up."""
    STAGED = "staged"
    """The settings that it makes are valid."""
    APPLYING = "applying"
    """The settings are being put into effect, perhaps through a restart."""
    PROBATION = "probation"
    """In effect; the gateway is proving that it still works."""
    CONFIRMED = "confirmed"
    """In effect, and what a later failure comes back to."""
    REJECTED = "rejected"
    """Refused before anything was touched."""
    ROLLED_BACK = "rolled_back"
    """Was in effect and not good; the last good settings are in effect again."""
    FAILED = "failed"
    """Could not be put into effect; the last good settings stayed, or are back."""


S = RolloutState
_AT_REST = frozenset({S.NONE, S.CONFIRMED, S.REJECTED, S.ROLLED_BACK, S.FAILED})

TRANSITIONS: dict[RolloutState, frozenset[RolloutState]] = {
    S.NONE: frozenset({S.RECEIVED}),
    S.RECEIVED: frozenset({S.VERIFIED, S.REJECTED, S.CONFIRMED, S.ROLLED_BACK, S.FAILED}),
    S.VERIFIED: frozenset({S.STAGED, S.REJECTED, S.CONFIRMED, S.RECEIVED}),
    S.STAGED: frozenset({S.APPLYING, S.REJECTED}),
    S.APPLYING: frozenset({S.APPLYING, S.PROBATION, S.ROLLED_BACK, S.FAILED}),
    S.PROBATION: frozenset({S.APPLYING, S.CONFIRMED, S.ROLLED_BACK, S.FAILED}),
    S.CONFIRMED: frozenset({S.RECEIVED}),
    S.REJECTED: frozenset({S.RECEIVED}),
    S.ROLLED_BACK: frozenset({S.RECEIVED}),
    S.FAILED: frozenset({S.RECEIVED, S.STAGED}),
}
"""Every legal move. ``RECEIVED`` goes straight to a state at rest when the document is a known
one and that is what it came to. ``VERIFIED → RECEIVED``: a newer one came while it waited for its
``not_before``; ``→ CONFIRMED``: it changes nothing. ``PROBATION`` or ``APPLYING → APPLYING``: the
daemon died and starts once more with the candidate. ``PROBATION → FAILED → STAGED``: a broker that
was not reached is tried alternately with the one before. ``FAILED → STAGED``: another try."""

MAX_FAILURES = 3
"""After so many failed tries or dead starts a revision is put aside for good."""


class Outcome(Record):
    """What a document came to."""

    state: str
    revision: int | None
    reason: str
    document: str | None = None
    """SHA-256 of its payload."""


class Ledger(Record):
    """What every roll-out keeps of the documents that came; one document on disk."""

    schema_version: Literal[1] = 1
    revision: int | None = None
    """Of the latest document, as far as it could be read."""
    digest: str | None = None
    """SHA-256 of the payload of the latest document: tells its redelivery."""
    reason: str = ""
    payload: str | None = None
    """Base64 of the payload, while it is RECEIVED."""
    candidate: Signed | None = None
    """The latest document that was verified."""
    outcome: Outcome | None = None
    """What the candidate came to."""
    starts: int = 0
    """How often the candidate was started, live or by a start of the daemon."""
    failures: int = 0
    """How often putting the candidate into effect failed."""
    confirmed: Signed | None = None
    """What is good."""
    previous: Signed | None = None
    """What was good before."""
    highest: int = 0
    """The highest revision ever verified; stored before it is applied."""
    highest_digest: str = ""
    waiting: str | None = None
    """Base64 of one verified document that waits its turn; the newest wins."""
    waiting_revision: int | None = None
    refused: Outcome | None = None
    """The last document that was refused while another one was under way."""


class Rollout(Ledger):
    """The whole state of the configuration roll-out. ``confirmed`` None: the local file alone."""

    state: RolloutState = S.NONE
    candidate: Content | None = None
    restart: tuple[str, ...] = ()
    """The keys for which the candidate needs a restart."""
    usual_s: float | None = None
    """Longest pause of the telemetry before the candidate was put into effect."""
    confirmed: Content | None = None
    previous: Content | None = None

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way."""
        return self.state in _AT_REST

    @property
    def moves_broker(self) -> bool:
        """Whether the candidate changes how the broker is reached."""
        return any(key.startswith("mqtt.") for key in self.restart)

    @property
    def alternating(self) -> bool:
        """Whether the candidate's broker will be tried again by itself."""
        again = self.state is S.FAILED and self.failures < MAX_FAILURES
        return again and self.moves_broker and self.waiting is None


def move(rollout: Rollout, state: RolloutState, **changes: object) -> Rollout:
    """``rollout`` in ``state``. Raises ``IllegalTransition`` where the table holds no such move."""
    allowed = TRANSITIONS[rollout.state]
    if state not in allowed:
        raise IllegalTransition(
            f"a roll-out that is {rollout.state} cannot become {state}; allowed:"
            f" {', '.join(sorted(allowed))}"
        )
    return rollout.model_copy(update={"state": state, **changes})


class Verdict(StrEnum):
    """What to do with a verified document."""

    NEW = "new"
    SAME = "same"
    """Dealt with already, or being dealt with: nothing to do."""
    RETRY = "retry"
    """Known, and failed for a reason that may have passed."""
    REPLAYED = "replayed"
    """Its revision went back, or was used for another document."""


def judge_revision(rollout: Ledger, revision: int, digest: str) -> tuple[Verdict, str]:
    """Whether the document with ``revision`` and body ``digest`` goes, and why not."""
    if rollout.confirmed is not None and digest == rollout.confirmed.digest:
        return Verdict.SAME, "in effect already"
    highest, candidate, outcome = rollout.highest, rollout.candidate, rollout.outcome
    if revision < highest:
        why = f"revision: {revision} goes back, {highest} was here; push a higher one"
        return Verdict.REPLAYED, why
    if revision == highest and digest != rollout.highest_digest:
        why = f"revision: {revision} was used for another document; push a higher one"
        return Verdict.REPLAYED, why
    if candidate is None or candidate.digest != digest:
        return Verdict.NEW, ""
    if outcome is None:
        return Verdict.SAME, "under way"
    again = outcome.state == S.FAILED and rollout.failures < MAX_FAILURES
    return Verdict.RETRY if again else Verdict.SAME, outcome.reason


def known_outcome(ledger: Ledger, content: Signed) -> str:
    """The state that a document came to which was dealt with before."""
    if ledger.confirmed is not None and ledger.confirmed.digest == content.digest:
        return "confirmed"
    return ledger.outcome.state if ledger.outcome is not None else "rejected"


@dataclass(frozen=True, slots=True)
class Probation:
    """How a candidate has kept so far, seconds of running time."""

    total_s: float = 0.0
    healthy_s: float = 0.0
    """Without a break, up to now."""
    unhealthy_s: float = 0.0
    """Without a break, up to now."""
    reason: str = ""
    """The last complaint."""


LONGEST_STEP_S = 30.0
"""A larger step between two ticks is a clock that jumped or a machine that slept."""
PATIENCE = 4
"""Probation ends at the latest after so many times its length."""


def judge_probation(
    probation: Probation, step_s: float, unhealthy: str | None, length_s: float
) -> tuple[Probation, RolloutState]:
    """Probation after ``step_s`` more seconds: PROBATION goes on, CONFIRMED after ``length_s``
    seconds of unbroken health, ROLLED_BACK after as many of unbroken complaint or when neither
    came about in ``PATIENCE`` times that time. Steps are clipped: no clock ends it early.
    """
    step = min(max(step_s, 0.0), LONGEST_STEP_S)
    if unhealthy is None:
        after = replace(probation, healthy_s=probation.healthy_s + step, unhealthy_s=0.0)
    else:
        after = replace(
            probation,
            healthy_s=0.0,
            unhealthy_s=probation.unhealthy_s + step,
            reason=unhealthy,
        )
    after = replace(after, total_s=probation.total_s + step)
    if unhealthy is None and after.healthy_s >= length_s:
        return after, S.CONFIRMED
    if after.unhealthy_s >= length_s or after.total_s >= PATIENCE * length_s:
        return after, S.ROLLED_BACK
    return after, S.PROBATION


@dataclass(frozen=True, slots=True)
class Flow:
    """How telemetry comes, seen at each tick."""

    count: int = 0
    """Readings so far."""
    quiet_s: float = 0.0
    """Since the last reading."""
    usual_s: float | None = None
    """The longest pause between readings of late; None: none came lately."""


FORGET_S = 300.0
"""After so long a silence, silence is usual."""
QUIET_FACTOR, SHORTEST_QUIET_S = 3.0, 3.0
"""Telemetry has stopped after so many usual pauses, and at the least this long."""


def watch_flow(flow: Flow, step_s: float, count: int) -> Flow:
    """``flow`` after ``step_s`` more seconds, with ``count`` readings by now."""
    step = min(max(step_s, 0.0), LONGEST_STEP_S)
    quiet = flow.quiet_s + step
    if count == flow.count:
        return replace(flow, quiet_s=quiet, usual_s=flow.usual_s if quiet < FORGET_S else None)
    decayed = (flow.usual_s or 0.0) * 0.98
    return Flow(count=count, usual_s=max(quiet, decayed))


def judge_flow(usual_s: float | None, quiet_s: float) -> str | None:
    """What is wrong with telemetry that came every ``usual_s`` seconds before a change."""
    if usual_s is None or quiet_s <= max(QUIET_FACTOR * usual_s, SHORTEST_QUIET_S):
        return None
    return f"no telemetry for {quiet_s:.0f} s; before the change, pauses had {usual_s:.1f} s"
