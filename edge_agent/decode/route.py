"""What is known of one topic: where it leads, and what it said last. Pure."""

from __future__ import annotations

from edge_agent.decode.pace import Pace
from edge_agent.decode.source import Source
from edge_agent.decode.timestamp import checked
from edge_agent.decode.unit import Line
from edge_agent.domain.telemetry import Message, Quality

_NO_NAMES: dict[str, str] = {}
"""Shared by all topics of one signal, which need no names: an empty dictionary takes 64 bytes."""


class Route:
    """One topic of a source. ``names``: keys of the payload → names of readings, empty for a key
    that is left out."""

    __slots__ = (
        "_last",
        "_pace",
        "_paces",
        "_repeated",
        "converted",
        "equipment",
        "machines",
        "names",
        "only",
        "signal",
        "source",
    )

    def __init__(self, source: Source, equipment: str | None, signal: str | None) -> None:
        self.source = source
        self.equipment = equipment or ""
        self.signal = signal
        self.only: str | None = None
        """Name of readings of the topic's one signal, once it is admitted: plants with a topic per
        signal have many routes, and a dictionary in each would be most of their memory."""
        self.names = _NO_NAMES if signal else dict.fromkeys(source.left_out, "")
        self.converted: dict[str, tuple[str, Line]] | None = None
        """Keys, not among ``names``, whose unit is not the card's: name and conversion."""
        self.machines: dict[str, Route] | None = None
        """Routes of the machines on this topic, where payloads name them."""
        self._pace = Pace()
        self._paces: dict[str, Pace] | None = None
        self._last = 0
        self._repeated = False

    def name_of(self, key: str) -> str | None:
        """The reading's name for a key; empty for one left out, None for one not yet seen."""
        return self.only if key == self.signal else self.names.get(key)

    def admit(self, key: str, name: str) -> None:
        """Remember the reading's name for a key."""
        if key == self.signal and name:
            self.only = name
        else:
            if self.names is _NO_NAMES:
                self.names = {}
            self.names[key] = name

    def conversion(self, key: str) -> tuple[str, Line] | None:
        """Name and unit conversion of a key, where it has one."""
        return None if self.converted is None else self.converted.get(key)

    def begin(self, payload: bytes) -> None:
        """Note a payload: the same bytes twice in a row, with a time in them, are a duplicate."""
        digest = hash(payload)
        self._repeated = digest == self._last
        self._last = digest

    def moment(
        self,
        stamp: object,
        message: Message,
        limits: tuple[float, float],
        *,
        at: float | None = None,
        signal: str | None = None,
    ) -> tuple[float, Quality]:
        """Time and quality of a value stamped ``stamp`` (None: it came without a time), or that
        the format itself dates ``at``.

        ``limits``: seconds late and future; ``signal``: given where each signal has a time of its
        own, and so a pace of its own. Raises ``BadPayload`` for an unreadable stamp.
        """
        if at is not None:
            at = checked(at)
        elif stamp is None:
            return message.arrived, Quality.REPLAY if message.retained else Quality.GOOD
        else:
            at = self.source.read_time(stamp)
        if message.retained:
            return at, Quality.REPLAY
        if self._repeated:
            return at, Quality.DUPLICATE
        pace = self._pace if signal is None else self._pace_of(signal)
        return at, pace.judge(at, message.arrived, *limits)

    def knows(self, key: str) -> bool:
        """Whether a key of the payload was admitted as a signal."""
        return bool(self.name_of(key)) or self.conversion(key) is not None

    @property
    def skew(self) -> float:
        """Arrival minus source time of the newest reading, seconds."""
        return self._pace.skew

    def _pace_of(self, signal: str) -> Pace:
        if self._paces is None:
            self._paces = {}
        pace = self._paces.get(signal)
        if pace is None:
            pace = self._paces[signal] = Pace()
        return pace
