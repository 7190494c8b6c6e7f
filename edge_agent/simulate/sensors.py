"""The instruments of the simulated pump: units, noise, resolution, and how they fail. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_agent.simulate.faults import Fault, FaultName


@dataclass(frozen=True, slots=True)
class Sensor:
    """One instrument. Noise sizes are one standard deviation of a 1 s average."""

    unit: str
    absolute: float
    """Noise in the signal's unit."""
    relative: float
    """Noise as a share of the reading."""
    digits: int
    """Decimals that the transmitter sends."""
    drift: float
    """What a drifting instrument has gained when the drift is fully developed, in its unit."""


SENSORS: dict[str, Sensor] = {
    # Electromagnetic flow meter, 0.5 % of reading, turbulence included.
    "flow": Sensor("L/min", 0.15, 0.004, 2, 15.0),
    # Pressure transmitters of class 0.25 %, 0 to 4 bar and -1 to 1 bar; eddies at the inlet flange.
    "suction_pressure": Sensor("bar", 0.006, 0.0, 4, 0.08),
    "discharge_pressure": Sensor("bar", 0.006, 0.002, 3, 0.45),
    # Current and voltage transducers of class 0.5 %.
    "motor_current": Sensor("A", 0.004, 0.003, 3, 0.35),
    "motor_voltage": Sensor("V", 0.6, 0.0, 1, 18.0),
    # RMS velocity over 1 s: a band-limited random signal scatters by several per cent.
    "vibration": Sensor("mm/s", 0.01, 0.045, 3, 1.5),
    # Pt100 elements, class A, with the noise of a cheap transmitter.
    "motor_temperature": Sensor("°C", 0.10, 0.0, 2, 12.0),
    "bearing_temperature": Sensor("°C", 0.10, 0.0, 2, 12.0),
    "fluid_temperature": Sensor("°C", 0.06, 0.0, 2, 8.0),
}
"""Signal → instrument, in the order of the telemetry."""


class Instruments:
    """Turns true values into readings; remembers what a stuck instrument last showed."""

    def __init__(self, generator: np.random.Generator, faults: Sequence[Fault]) -> None:
        self._generator = generator
        self._faults = tuple(fault for fault in faults if fault.sensor)
        self._stuck: dict[str, float] = {}
        for fault in self._faults:
            if fault.sensor not in SENSORS:
                known = ", ".join(SENSORS)
                raise ValueError(f"{fault.name}: no sensor {fault.sensor!r}; the pump has: {known}")

    def read(self, t: float, truth: Mapping[str, float]) -> dict[str, float]:
        """Readings at simulated time ``t`` of the true values, same units."""
        noise = self._generator.standard_normal(len(SENSORS))
        readings = {}
        for (name, sensor), size in zip(SENSORS.items(), noise, strict=True):
            spread = sensor.absolute + sensor.relative * abs(truth[name])
            readings[name] = round(truth[name] + spread * float(size), sensor.digits)
        for fault in self._faults:
            progress = fault.progress(t)
            if progress == 0.0:
                continue
            name = fault.sensor
            if fault.name is FaultName.STUCK_SENSOR:
                readings[name] = self._stuck.setdefault(name, readings[name])
            elif fault.name is FaultName.DRIFTING_SENSOR:
                sensor = SENSORS[name]
                readings[name] = round(readings[name] + progress * sensor.drift, sensor.digits)
        return readings
