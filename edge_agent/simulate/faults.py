"""The faults that the simulated pump can develop, and how far one has come at a given time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FaultName(StrEnum):
    """Same names as the fault ids of ``configs/equipment/simulated-pump.toml``."""

    INLET_VALVE_CLOSING = "inlet_valve_closing"
    OUTLET_VALVE_CLOSING = "outlet_valve_closing"
    LEAK = "leak"
    CAVITATION = "cavitation"
    IMBALANCE = "imbalance"
    BEARING_WEAR = "bearing_wear"
    BLOCKED_COOLING = "blocked_cooling"
    STUCK_SENSOR = "stuck_sensor"
    DRIFTING_SENSOR = "drifting_sensor"


DEFAULT_SENSOR = {
    FaultName.STUCK_SENSOR: "flow",
    FaultName.DRIFTING_SENSOR: "discharge_pressure",
}
"""Which instrument fails where the caller does not say."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: starts at ``onset_s`` of simulated time and grows over ``develop_s`` seconds.

    ``severity`` scales the developed fault; 1 is a fault that an operator would act on.
    ``signal`` names the instrument, for sensor faults only.
    """

    name: FaultName
    onset_s: float
    develop_s: float = 120.0
    severity: float = 1.0
    signal: str = ""

    def __post_init__(self) -> None:
        if self.develop_s < 0 or not 0 < self.severity <= 1:
            raise ValueError(
                f"fault {self.name}: develop_s {self.develop_s} must not be negative and severity "
                f"{self.severity} must lie above 0 and up to 1"
            )

    @property
    def sensor(self) -> str:
        """The instrument that fails; empty for a fault of the machine."""
        return self.signal or DEFAULT_SENSOR.get(self.name, "")

    def progress(self, t: float) -> float:
        """How developed the fault is at simulated time ``t`` seconds, 0 to ``severity``."""
        if t < self.onset_s:
            return 0.0
        if self.develop_s == 0:
            return self.severity
        return self.severity * min(1.0, (t - self.onset_s) / self.develop_s)
