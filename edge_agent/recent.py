"""The last rows of each machine, in memory: what a question about a moment ago is answered from.

Bounded in bytes over all machines; what a restart forgets is only this convenience.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from edge_agent.domain.telemetry import Quality, Reading

MAX_BYTES = 4_000_000
MAX_ROWS = 1_800
"""Of one machine: half an hour of a row a second."""
MAX_SIGNALS = 300
ROW_BYTES = 128
"""What a row takes beside its values."""

Row = tuple[float, dict[str, float]]
"""Source time, Unix seconds, and the signals that came."""


@dataclass(slots=True)
class _Machine:
    index: dict[str, int] = field(default_factory=dict)
    row: array[float] = field(default_factory=lambda: array("f"))
    opened_at: float = math.nan
    rows: deque[tuple[float, bytes]] = field(default_factory=deque)
    bytes: int = 0


class RecentRows:
    """Rows at least ``row_s`` apart; of several values within one the last counts."""

    def __init__(self, row_s: float, max_bytes: int = MAX_BYTES) -> None:
        self._row_s = row_s
        self._max_bytes = max_bytes
        self._machines: dict[str, _Machine] = {}

    def add(self, readings: Iterable[Reading]) -> None:
        """Remember good readings, in the order of their arrival."""
        for reading in readings:
            if reading.quality is not Quality.GOOD or not math.isfinite(reading.value):
                continue
            machine = self._machines.get(reading.equipment)
            if machine is None:
                machine = self._machines[reading.equipment] = _Machine()
            if reading.at - machine.opened_at >= self._row_s:
                self._close(machine)
            if math.isnan(machine.opened_at):
                machine.opened_at = reading.at
            elif reading.at < machine.opened_at:
                continue
            place = machine.index.get(reading.signal)
            if place is None:
                if len(machine.index) >= MAX_SIGNALS:
                    continue
                place = machine.index[reading.signal] = len(machine.index)
                machine.row.append(math.nan)
            machine.row[place] = reading.value

    def between(self, equipment: str, start: float, end: float) -> list[Row]:
        """The rows of a machine from ``start`` to ``end``, source time in Unix seconds, in order;
        without the one in the making."""
        machine = self._machines.get(equipment)
        if machine is None:
            return []
        names = list(machine.index)
        return [(at, _values(names, data)) for at, data in machine.rows if start <= at <= end]

    def span(self, equipment: str) -> tuple[float, float] | None:
        """Source times of the oldest and the newest row that are kept."""
        machine = self._machines.get(equipment)
        return (machine.rows[0][0], machine.rows[-1][0]) if machine and machine.rows else None

    @property
    def bytes(self) -> int:
        """What all rows take."""
        return sum(machine.bytes for machine in self._machines.values())

    def _close(self, machine: _Machine) -> None:
        data = machine.row.tobytes()
        machine.rows.append((machine.opened_at, data))
        machine.bytes += len(data) + ROW_BYTES
        machine.opened_at = math.nan
        machine.row = array("f", [math.nan]) * len(machine.row)
        share = self._max_bytes // len(self._machines)
        while machine.rows and (machine.bytes > share or len(machine.rows) > MAX_ROWS):
            machine.bytes -= len(machine.rows.popleft()[1]) + ROW_BYTES


def _values(names: list[str], data: bytes) -> dict[str, float]:
    values = array("f")
    values.frombytes(data)
    pairs = zip(names, values, strict=False)  # signals that came later than this row
    return {name: value for name, value in pairs if not math.isnan(value)}
