"""What the demonstration plays: the simulated pump with a fault, or a user's recording. Pure
but for reading the files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.config.load import read_toml, validate
from edge_agent.domain.card import Card
from edge_agent.errors import BadConfig, BadPayload
from edge_agent.recording import read_recording
from edge_agent.simulate.faults import Fault, FaultName
from edge_agent.simulate.pump import SIMULATED_EQUIPMENT, SIMULATED_PROPERTY, pump_rows

WATCHED_ROWS = 100
"""Rows of normal operation between learning and the fault."""
DEVELOP_S = 30.0
"""Seconds that the simulated fault takes to develop."""
AFTERWARDS_ROWS = 700
"""Rows that follow the onset; the slowest fault (blocked cooling) needs several minutes."""


@dataclass(frozen=True)
class Scenario:
    """Rows to play, and what is known about them."""

    equipment: str
    card: Card
    card_path: Path
    rows: Sequence[tuple[float, Mapping[str, float]]]
    """(source time in Unix seconds, signal → value)."""
    learn_rows: int
    onset: float | None
    """Source time at which the simulated fault begins; None for a recording."""
    title: str
    properties: Mapping[str, str]
    """MQTT 5 user properties of the telemetry."""

    @property
    def fault_row(self) -> int | None:
        """Index of the first row of the simulated fault."""
        if self.onset is None:
            return None
        return sum(at < self.onset for at, _ in self.rows)

    @property
    def simulated(self) -> bool:
        """Whether a simulator made the rows."""
        return self.properties == SIMULATED_PROPERTY


def simulated_scenario(
    fault: FaultName, card_path: Path, *, learn_rows: int, seed: int, now: float
) -> Scenario:
    """The simulated pump at one row a second; its last row's time is ``now``."""
    onset = float(learn_rows + WATCHED_ROWS)
    duration = onset + AFTERWARDS_ROWS
    start = now - duration
    rows = [
        (start + at, readings)
        for at, readings in pump_rows(
            [Fault(fault, onset, DEVELOP_S)], seed=seed, rate=1.0, duration=duration
        )
    ]
    return Scenario(
        equipment=SIMULATED_EQUIPMENT,
        card=_read_card(card_path),
        card_path=card_path,
        rows=rows,
        learn_rows=learn_rows,
        onset=start + onset,
        title=f"simulated pump, fault {fault.value} from row {onset:.0f}",
        properties=SIMULATED_PROPERTY,
    )


def recorded_scenario(data: Path, card_path: Path, *, learn_rows: int) -> Scenario:
    """A recording with its own timestamps. Raises ``BadPayload`` and ``BadConfig``."""
    card = _read_card(card_path)
    recording = read_recording(data)
    rows = list(recording.rows(origin=time.time() - float(recording.times[-1])))
    if len(rows) <= learn_rows:
        raise BadPayload(
            f"{data}: {len(rows)} rows, but {learn_rows} are needed to learn what is normal; "
            "give a longer recording or a smaller --learn-rows"
        )
    unknown = sorted(set(card.signals) - set(recording.columns))
    if card.signals and len(unknown) == len(card.signals):
        raise BadConfig(
            f"{card_path}: none of its signals is a column of {data}; the card has "
            f"{', '.join(card.signals)}, the recording has {', '.join(recording.columns)}"
        )
    return Scenario(
        equipment=card.equipment.replace("*", "") or "recording",
        card=card,
        card_path=card_path,
        rows=rows,
        learn_rows=learn_rows,
        onset=None,
        title=f"recording {data.name}, {len(rows)} rows",
        properties={},
    )


def _read_card(path: Path) -> Card:
    return validate(Card, read_toml(path), where=str(path))
