"""The simulated machine: a motor-driven centrifugal pump that circulates water. Pure.

Everything it says is invented by these equations, and is labelled as simulated wherever it
appears: by the equipment's name, by its card, and by an MQTT user property.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from edge_agent.simulate.faults import Fault, FaultName
from edge_agent.simulate.hydraulics import (
    BAR,
    BEST_FLOW,
    DENSITY,
    GRAVITY,
    Loop,
    cavitation_of,
    operating_point,
    shaft_power,
)
from edge_agent.simulate.motor import (
    RATED_VOLTAGE,
    Heat,
    drive,
    friction,
    settled,
    vibration,
    warmer,
)
from edge_agent.simulate.sensors import Instruments

SIMULATED_EQUIPMENT = "simulated-pump"
"""Name of the simulated machine, and of its card."""
SIMULATED_PROPERTY = {"simulated": "true"}
"""MQTT 5 user property on every message of simulated telemetry."""

ROOM = 21.0
"""°C around the machine, on average."""
ROOM_SWING = 1.5
"""K, half the difference between the room's day and night."""
TANK_LEVEL = 2.0
"""m above the pump when full."""
TANK_AREA = 0.35
"""m² of water surface: how fast a leak lowers the level."""
LITRES_PER_MINUTE = 60_000.0
"""L/min in a m³/s."""
MAINS_WANDER = 1.5
"""V, standard deviation of the mains around its rated voltage."""
MAINS_TIME = 90.0
"""s, correlation time of the mains: other loads of the plant come and go."""
TURBULENCE = 0.0025
"""Relative standard deviation of the head, which flow, pressure and current share."""
TURBULENCE_TIME = 3.0
"""s."""
FLOW_LAG = 1.2
"""s: the inertia of the water in the pipes."""
DRIVE_LAG = 3.0
"""s: the inverter's ramp, and the rotor that runs down."""
AT_REST = 0.02
"""Share of the rated speed below which the inverter has let go: no current flows."""
CAVITATION_LAG = 2.0
"""s: bubbles need a moment to fill the impeller eye, or to collapse."""
CAVITATING_UNREST = 0.06
"""Relative standard deviation of the head when the pump cavitates fully."""

CLOSED_INLET = 0.90
"""Share of its travel that a developed ``inlet_valve_closing`` takes away."""
CLOSED_OUTLET = 0.72
"""The same for the outlet valve, which carries most of the loop's loss already."""
LEAK_SIZE = 1.0e-4
"""m³/s per √m: about 25 L/min at 18 m."""
AIR_SHARE = 0.7
"""Gas that a developed ``cavitation`` brings into the impeller, 0 to 1."""
LOW_LEVEL = 0.8
"""m that the suction level loses in a developed ``cavitation``."""
STILL_TO_WARM = 0.02
"""Share of its warm-up that a ``warm`` loop still has to run: it drifts a little, as they do."""


class PumpLoop:
    """One pump loop with its faults; the same seed and the same steps give the same readings.

    ``duty``: (from second, share of the rated speed) in order of time, 0 is a stop; before the
    first one and without any it runs at its rated speed.
    """

    def __init__(
        self,
        seed: int = 0,
        faults: Sequence[Fault] = (),
        *,
        warm: bool = True,
        duty: Sequence[tuple[float, float]] = (),
    ) -> None:
        self._duty = tuple(duty)
        self._drive = 1.0
        self._generator = np.random.default_rng(seed)
        self._faults = tuple(faults)
        self._instruments = Instruments(self._generator, self._faults)
        self._phase = float(self._generator.uniform(0.0, 2.0 * math.pi))
        self._t = 0.0
        self._level = TANK_LEVEL
        self._mains = 0.0
        self._turbulence = 0.0
        self._cavitation = 0.0
        self._speed = 1.0
        self._point = operating_point(Loop(level=TANK_LEVEL))
        watts = shaft_power(self._point)
        loss = drive(watts + friction(0.0), RATED_VOLTAGE).loss
        hot = settled(Heat(loss, friction(0.0), watts), self._room())
        at_rest = settled(Heat(0.0, 0.0, 0.0), self._room())
        missing = STILL_TO_WARM if warm else 1.0
        self._temperatures = replace(
            hot,
            motor=hot.motor - missing * (hot.motor - at_rest.motor),
            bearing=hot.bearing - missing * (hot.bearing - at_rest.bearing),
            fluid=hot.fluid - missing * (hot.fluid - at_rest.fluid),
        )

    @property
    def t(self) -> float:
        """Simulated seconds since the start."""
        return self._t

    def step(self, dt: float = 1.0) -> dict[str, float]:
        """Advance by ``dt`` seconds and read every instrument. Signals and units: ``SENSORS``."""
        self._t += dt
        self._wander(dt)
        air = AIR_SHARE * self._developed(FaultName.CAVITATION)
        self._flow(dt, air)
        truth = self._machine(dt)
        return self._instruments.read(self._t, truth)

    def _developed(self, name: FaultName) -> float:
        return max((f.progress(self._t) for f in self._faults if f.name is name), default=0.0)

    def _room(self) -> float:
        return ROOM + ROOM_SWING * math.sin(2.0 * math.pi * self._t / 86_400.0 + self._phase)

    def _wander(self, dt: float) -> None:
        """The mains and the turbulence, as first-order (Ornstein-Uhlenbeck) noise."""
        keep = math.exp(-dt / MAINS_TIME)
        self._mains = keep * self._mains + MAINS_WANDER * math.sqrt(1.0 - keep * keep) * float(
            self._generator.standard_normal()
        )
        keep = math.exp(-dt / TURBULENCE_TIME)
        self._turbulence = keep * self._turbulence + math.sqrt(1.0 - keep * keep) * float(
            self._generator.standard_normal()
        )

    def _flow(self, dt: float, air: float) -> None:
        """Water: drive, level, operating point, cavitation."""
        wanted = next((to for start, to in reversed(self._duty) if self._t >= start), 1.0)
        self._drive += (1.0 - math.exp(-dt / DRIVE_LAG)) * (wanted - self._drive)
        unrest = math.hypot(TURBULENCE, CAVITATING_UNREST * self._cavitation)
        level = self._level - LOW_LEVEL * self._developed(FaultName.CAVITATION)
        target = operating_point(
            Loop(
                level=level,
                inlet_opening=1.0 - CLOSED_INLET * self._developed(FaultName.INLET_VALVE_CLOSING),
                outlet_opening=1.0
                - CLOSED_OUTLET * self._developed(FaultName.OUTLET_VALVE_CLOSING),
                leak=LEAK_SIZE * self._developed(FaultName.LEAK),
                speed=self._drive * self._speed * (1.0 + unrest * self._turbulence),
                cavitation=self._cavitation,
            )
        )
        share = 1.0 - math.exp(-dt / FLOW_LAG)
        before = self._point
        self._point = replace(
            target,
            pump_flow=before.pump_flow + share * (target.pump_flow - before.pump_flow),
            flow=before.flow + share * (target.flow - before.flow),
        )
        self._level = max(0.0, self._level - dt * target.leak_flow / TANK_AREA)
        now = cavitation_of(self._point, level, self._temperatures.fluid, air)
        share = 1.0 - math.exp(-dt / CAVITATION_LAG)
        self._cavitation += share * (now - self._cavitation)

    def _machine(self, dt: float) -> dict[str, float]:
        """Motor, vibration and heat; returns the true value of every signal."""
        wear = self._developed(FaultName.BEARING_WEAR)
        voltage = RATED_VOLTAGE + self._mains
        watts = shaft_power(self._point)
        rubbing = self._drive * friction(wear)
        motor = drive(watts + rubbing, voltage)
        self._speed = motor.speed
        if self._drive < AT_REST:
            motor = replace(motor, current=0.0, loss=0.0)
        self._temperatures = warmer(
            self._temperatures,
            Heat(motor.loss, rubbing, watts),
            dt=dt,
            room=self._room(),
            blocked=self._developed(FaultName.BLOCKED_COOLING),
        )
        shaking = vibration(
            speed=motor.speed,
            flow_share=self._point.pump_flow / BEST_FLOW,
            imbalance=self._developed(FaultName.IMBALANCE),
            wear=wear,
            cav=self._cavitation,
        )
        bursts = 1.0 + 0.25 * max(wear, self._cavitation) * float(self._generator.standard_normal())
        return {
            "flow": self._point.flow * LITRES_PER_MINUTE,
            "suction_pressure": self._point.suction_head * DENSITY * GRAVITY / BAR,
            "discharge_pressure": self._point.discharge_head * DENSITY * GRAVITY / BAR,
            "motor_current": motor.current,
            "motor_voltage": voltage,
            "vibration": self._drive * shaking * max(0.2, bursts),
            "motor_temperature": self._temperatures.motor,
            "bearing_temperature": self._temperatures.bearing,
            "fluid_temperature": self._temperatures.fluid,
        }


def pump_rows(
    faults: Sequence[Fault], *, seed: int, rate: float, duration: float | None, warm: bool = True
) -> Iterator[tuple[float, dict[str, float]]]:
    """(simulated time, readings) of the pump, ``rate`` rows a second. Raises ``ValueError`` for
    a sensor that it does not have."""
    loop = PumpLoop(seed, faults, warm=warm)
    while duration is None or loop.t < duration:
        readings = loop.step(1.0 / rate)
        yield loop.t, readings
