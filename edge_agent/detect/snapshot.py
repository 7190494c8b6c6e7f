"""What was learned of a machine as versioned bytes: msgpack with raw little-endian arrays."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import structlog

from edge_agent.detect.custom import Custom
from edge_agent.detect.feedback import Muted, Opinion
from edge_agent.detect.incident import Hysteresis, State
from edge_agent.detect.machine import Machine
from edge_agent.detect.plant import Plant
from edge_agent.detect.profile import Profile
from edge_agent.detect.spectrum import EVERY, PERIODS, Spectrum
from edge_agent.detect.states import States
from edge_agent.detect.tracker import Tracker
from edge_agent.domain.finding import Finding

log = structlog.get_logger(__name__)

VERSION = 5
_PROFILE = (
    "center",
    "scale",
    "active",
    "partial",
    "weight",
    "follow",
    "variance",
    "roughness",
    "fast",
    "slow",
)
_TRACKER = (
    "fast",
    "slow",
    "variance",
    "last",
    "rough",
    "recent",
    "peaks",
    "energy",
    "age",
    "still",
    "longest_still",
    "gone",
    "bad",
)
_PLANT = ("center", "spread", "precision", "usual", "level")
_CUSTOM = ("mean", "variance", "seen")
_STATES = ("centers", "slows", "rows", "visits", "known", "codes", "apart", "creeps", "unrest")
_SPECTRUM = {
    "turning": np.complex64,
    "power": np.float32,
    "usual": np.float32,
    "gathered": np.float32,
    "row": np.int64,
}
_GATHERED = ("gathered", "arrival")
_STATE_COUNTS = ("now", "since", "moving", "arriving", "gathering")


class Packed(msgspec.Struct):
    """The document inside a snapshot."""

    version: int
    signals: list[str]
    rows: int
    at: float
    learning: bytes
    profile: dict[str, bytes]
    tracker: dict[str, bytes]
    custom: dict[str, bytes]
    plant: dict[str, bytes]
    since: bytes
    state: str
    counts: tuple[int, int, int, int]
    flaps: int
    peak: float
    evidence: float
    incident: bytes
    opening_baseline: bytes
    settled_score: float = 1.0
    held: bool = False
    usual_s: float = 0.0
    pause_s: float = 0.0
    back_at: float = 0.0
    silent: bytes = b""
    muted: dict[str, tuple[str, int, int]] = {}
    """Fingerprint → what was said, how often, how many incidents it kept quiet."""
    spectrum: dict[str, bytes] = {}
    states: dict[str, bytes] = {}
    state_counts: tuple[int, ...] = ()
    pictures: list[str] = []


def dump(machine: Machine) -> bytes:
    """The machine's learned state; about 100 bytes a signal plus 8 per pair of signals."""
    tracker, hysteresis = machine.tracker, machine.hysteresis
    packed = Packed(
        version=VERSION,
        signals=list(machine.assembler.signals),
        rows=machine.rows,
        at=machine.at,
        learning=_raw(_square(machine)),
        profile={name: _raw(getattr(tracker.profile, name)) for name in _PROFILE}
        if tracker
        else {},
        tracker={name: _raw(getattr(tracker, name)) for name in _TRACKER} if tracker else {},
        custom={name: _raw(getattr(tracker.custom, name)) for name in _CUSTOM} if tracker else {},
        plant={name: _raw(getattr(tracker.plant, name)) for name in _PLANT}
        if tracker and tracker.plant
        else {},
        spectrum={name: _raw(getattr(tracker.spectrum, name)) for name in _SPECTRUM}
        if tracker
        else {},
        since=_raw(machine.since),
        state=str(hysteresis.state),
        counts=(hysteresis.above, hysteresis.below, hysteresis.fallen, hysteresis.rows),
        flaps=hysteresis.flaps,
        peak=hysteresis.peak,
        evidence=hysteresis.evidence,
        incident=machine.incident.model_dump_json().encode() if machine.incident else b"",
        opening_baseline=b""
        if machine.opening_baseline is None
        else _raw(machine.opening_baseline),
        settled_score=machine.settled_score,
        held=machine.held,
        usual_s=machine.silence.usual_s,
        pause_s=machine.pause_s,
        back_at=machine.back_at,
        silent=machine.silent.model_dump_json().encode() if machine.silent else b"",
        muted={
            picture: (str(one.opinion), one.said, one.kept_quiet)
            for picture, one in machine.feedback.muted.items()
        },
        **_states_of(tracker),
    )
    return msgspec.msgpack.encode(packed)


def _states_of(tracker: Tracker | None) -> dict[str, Any]:
    states = tracker.states if tracker else None
    if states is None:
        return {}
    return {
        "states": {name: _raw(getattr(states, name)) for name in (*_STATES, *_GATHERED)},
        "state_counts": tuple(getattr(states, name) for name in _STATE_COUNTS),
        "pictures": states.pictures,
    }


def load(machine: Machine, data: bytes) -> bool:
    """Fill a new ``machine`` from ``data``; False, said in the log, if it cannot be read."""
    try:
        packed = msgspec.msgpack.decode(data, type=Packed)
        if packed.version != VERSION:
            raise ValueError(f"version {packed.version}, this program reads {VERSION}")  # noqa: TRY301
        _fill(machine, packed)
    except (msgspec.DecodeError, ValueError, KeyError) as error:
        log.warning("baseline_refused", equipment=machine.equipment, reason=str(error)[:200])
        return False
    return True


def _fill(machine: Machine, packed: Packed) -> None:
    size = len(packed.signals)
    incident = Finding.model_validate_json(packed.incident) if packed.incident else None
    silent = Finding.model_validate_json(packed.silent) if packed.silent else None
    muted = {
        picture: Muted(Opinion(opinion), said, kept_quiet)
        for picture, (opinion, said, kept_quiet) in packed.muted.items()
    }
    state = State(packed.state)
    tracker = _tracker(packed, size) if packed.tracker else None
    learning = _array(packed.learning, np.float64, (-1, size)) if size else np.empty((0, 0))
    since = _array(packed.since, np.float64, (-1,))
    if tracker is not None and len(since) != size:
        raise ValueError(f"{len(since)} times for {size} signals")
    for signal in packed.signals:
        machine.assembler.know(signal, machine.limits(signal))
    machine.tracker = tracker
    if tracker is not None:
        tracker.limits = machine.card_limits()
        if tracker.states is not None:
            tracker.states.signal = machine.state_signal()
    machine.learning = list(learning)
    machine.rows, machine.at, machine.since = packed.rows, packed.at, since
    machine.hysteresis = Hysteresis(
        state,
        *packed.counts,
        peak=packed.peak,
        evidence=packed.evidence,
        flaps=packed.flaps,
    )
    machine.incident = incident
    machine.held, machine.silent = packed.held, silent
    machine.settled_score = packed.settled_score
    machine.feedback.muted = muted
    machine.dismissed = (
        state is State.OPEN
        and incident is not None
        and machine.feedback.dismisses(incident.fingerprint)
    )
    machine.silence.usual_s = packed.usual_s
    machine.pause_s, machine.back_at = packed.pause_s, packed.back_at
    if packed.opening_baseline:
        machine.opening_baseline = _array(packed.opening_baseline, np.float64, (2 * size,))


def _tracker(packed: Packed, size: int) -> Tracker:
    shapes: dict[str, tuple[int, ...]] = {
        "partial": (size, size),
        "weight": (2 * size,),
        "follow": (2 * size,),
        "variance": (2 * size,),
        "fast": (2 * size,),
        "slow": (2 * size,),
        "recent": (2, size),
        "peaks": (2 * size,),
        "energy": (2,),
        "age": (1,),
        "seen": (2,),
        "precision": (size, size),
        "usual": (2,),
        "level": (1,),
    }
    kinds: dict[str, type] = {
        "active": np.bool_,
        "partial": np.float32,
        "precision": np.float32,
        "age": np.int64,
        "still": np.int64,
        "longest_still": np.int64,
        "gone": np.int64,
        "bad": np.int64,
    }

    def read(source: dict[str, bytes], name: str) -> Any:  # noqa: ANN401 - by name
        return _array(source[name], kinds.get(name, np.float64), shapes.get(name, (size,)))

    # Of the range the variance is per signal, of the tracker per channel.
    custom = Custom(
        mean=read(packed.custom, "mean"),
        variance=_array(packed.custom["variance"], np.float64, (size,)),
        seen=read(packed.custom, "seen"),
    )
    profile = Profile(**{name: read(packed.profile, name) for name in _PROFILE})
    plant = Plant(**{name: read(packed.plant, name) for name in _PLANT}) if packed.plant else None
    spectrum: dict[str, Any] = {
        name: _array(
            packed.spectrum[name],
            kind,
            {"row": (1,), "gathered": (EVERY, size)}.get(name, (len(PERIODS), size)),
        )
        for name, kind in _SPECTRUM.items()
    }
    moving = {name: read(packed.tracker, name) for name in _TRACKER}
    return Tracker(
        profile,
        custom=custom,
        plant=plant,
        spectrum=Spectrum(**spectrum),
        states=_states(packed, size),
        **moving,
    )


def _states(packed: Packed, size: int) -> States | None:
    if not packed.states:
        return None
    count = len(packed.pictures)
    shapes = {
        "centers": (count, size),
        "slows": (count, 2 * size),
        "apart": (size,),
        "creeps": (size,),
        "unrest": (2 * size,),
    }
    kinds: dict[str, type] = {
        "rows": np.int64,
        "visits": np.int64,
        "known": np.bool_,
        "creeps": np.bool_,
    }
    arrays: dict[str, Any] = {
        name: _array(packed.states[name], kinds.get(name, np.float64), shapes.get(name, (count,)))
        for name in _STATES
    }
    for name in _GATHERED:
        arrays[name] = _array(packed.states[name], np.float64, (-1,))
        if len(arrays[name]) not in (0, size):
            raise ValueError(f"{name}: {len(arrays[name])} values for {size} signals")
    counts: dict[str, Any] = dict(zip(_STATE_COUNTS, packed.state_counts, strict=True))
    if not 0 <= counts["now"] < count:
        raise ValueError(f"state {counts['now']} of {count}")
    return States(**arrays, pictures=packed.pictures, **counts)


def _square(machine: Machine) -> np.ndarray[Any, Any]:
    size = len(machine.assembler.signals)
    rows = [np.pad(one, (0, size - len(one)), constant_values=np.nan) for one in machine.learning]
    return np.array(rows, np.float64)


def _raw(array: np.ndarray[Any, Any]) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def _array(data: bytes, kind: type, shape: tuple[int, ...]) -> Any:  # noqa: ANN401 - by kind
    return np.frombuffer(data, kind).reshape(shape).copy()
