"""The common form in which every format hands over its values. Pure."""

from __future__ import annotations

from typing import NamedTuple

from edge_agent.domain.telemetry import Quality


class Sample(NamedTuple):
    """One value as it stands in a payload."""

    key: str | None
    """The signal's name in the payload; None where only the topic names it."""
    value: object
    stamp: object = None
    """The timestamp as it stands there; None where there is none."""
    own_time: bool = False
    """The time is this signal's own, and not that of a whole row."""
    equipment: str | None = None
    """The machine's name, where the payload carries it."""
    at: float | None = None
    """The time in Unix seconds, where the format itself defines it."""
    quality: Quality | None = None
    """What the format itself says of the value; None: nothing."""
    unit: str | None = None
    """The unit, where the format itself carries it."""
