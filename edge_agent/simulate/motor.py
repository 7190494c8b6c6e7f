"""Motor, bearing and heat of the simulated pump. Pure.

A 1.1 kW, 400 V, 2-pole, fan-cooled induction motor. Heat follows first-order balances:
capacity · dT/dt = heat in - conductance · (T - surroundings).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

RATED_VOLTAGE = 400.0
"""V between phases, IEC 60038."""
RATED_POWER = 1100.0
"""W at the shaft."""
EFFICIENCY = 0.82
"""Typical of class IE2 at 1.1 kW (IEC 60034-30-1)."""
IRON_LOSS = 45.0
"""W, there whatever the load."""
MAGNETISING_CURRENT = 1.15
"""A, reactive part at rated voltage: about half the rated current in a motor this small."""
RATED_SLIP = 0.045
"""Share of synchronous speed lost at rated power and voltage."""

MOTOR_CAPACITY = 5000.0
"""J/K: about 11 kg of iron, copper and aluminium."""
MOTOR_CONDUCTANCE = 4.5
"""W/K with the fan running and clean ribs: 45 K of rise at this load, time constant 18 min."""
BLOCKED_SHARE = 0.75
"""Share of that conductance lost when the fan cover is clogged."""
BEARING_CAPACITY = 420.0
"""J/K: bearing, housing and shaft end, about 0.9 kg of steel."""
BEARING_TO_AIR = 0.5
"""W/K."""
BEARING_TO_MOTOR = 0.7
"""W/K through the end shield."""
BEARING_FRICTION = 8.0
"""W of a healthy, greased bearing pair."""
WORN_FRICTION = 45.0
"""W more when the raceways are pitted and the grease is gone."""
FLUID_CAPACITY = 6.3e5
"""J/K: 150 L of water in tank and pipes."""
FLUID_CONDUCTANCE = 55.0
"""W/K from tank and cooler to the room: 12 K above it in the long run, time constant 3 h."""

BASE_VIBRATION = 1.1
"""mm/s RMS: a small machine in good order (ISO 20816-1, zone A)."""
OFF_DESIGN_VIBRATION = 0.8
"""mm/s RMS added by recirculation in the impeller at no flow."""
PREFERRED_SHARE = 0.7
"""Of the best flow: below it recirculation begins (preferred operating region, ANSI/HI 9.6.3)."""
IMBALANCE_VIBRATION = 5.5
"""mm/s RMS, at rated speed, of a fully developed imbalance (ISO 20816-1, beyond zone C)."""
WEAR_VIBRATION = 3.2
"""mm/s RMS of a bearing near its end."""
CAVITATION_VIBRATION = 4.0
"""mm/s RMS of full cavitation, broad-band."""


@dataclass(frozen=True, slots=True)
class Drive:
    """The motor's electrical state."""

    current: float
    """A per phase."""
    electric_power: float
    """W taken from the mains."""
    loss: float
    """W turned into heat in the motor."""
    speed: float
    """Relative to rated."""


@dataclass(frozen=True, slots=True)
class Temperatures:
    """Degrees Celsius."""

    motor: float
    bearing: float
    fluid: float


@dataclass(frozen=True, slots=True)
class Heat:
    """Watts that each body receives."""

    motor: float
    bearing: float
    fluid: float


def drive(shaft_watts: float, voltage: float) -> Drive:
    """The motor at that shaft power: active and magnetising current add in quadrature, slip
    grows with load and with the inverse square of the voltage."""
    relative = voltage / RATED_VOLTAGE
    electric = shaft_watts / EFFICIENCY + IRON_LOSS * relative**2
    active = electric / (math.sqrt(3.0) * voltage)
    reactive = MAGNETISING_CURRENT * relative
    slip = RATED_SLIP * shaft_watts / RATED_POWER / relative**2
    speed = (1.0 - slip) / (1.0 - RATED_SLIP * 0.65)
    return Drive(math.hypot(active, reactive), electric, electric - shaft_watts, speed)


def friction(wear: float) -> float:
    """W of friction heat in the bearings; ``wear`` from 0 to 1."""
    return BEARING_FRICTION + WORN_FRICTION * wear


def warmer(
    now: Temperatures, heat: Heat, *, dt: float, room: float, blocked: float
) -> Temperatures:
    """Temperatures ``dt`` seconds later, by one explicit Euler step (``dt`` up to about 60 s).

    ``blocked``: how clogged the motor's fan cover is, 0 to 1.
    """
    cooling = MOTOR_CONDUCTANCE * (1.0 - BLOCKED_SHARE * blocked)
    through = BEARING_TO_MOTOR * (now.motor - now.bearing)
    motor = heat.motor - cooling * (now.motor - room) - through
    bearing = heat.bearing + through - BEARING_TO_AIR * (now.bearing - room)
    fluid = heat.fluid - FLUID_CONDUCTANCE * (now.fluid - room)
    return Temperatures(
        now.motor + dt * motor / MOTOR_CAPACITY,
        now.bearing + dt * bearing / BEARING_CAPACITY,
        now.fluid + dt * fluid / FLUID_CAPACITY,
    )


def settled(heat: Heat, room: float) -> Temperatures:
    """The balance that a healthy machine reaches: both conductances solved together."""
    bearing_sum = BEARING_TO_AIR + BEARING_TO_MOTOR
    series = BEARING_TO_MOTOR * BEARING_TO_AIR / bearing_sum
    share = BEARING_TO_MOTOR / bearing_sum
    rise = (heat.motor + heat.bearing * share) / (MOTOR_CONDUCTANCE + series)
    bearing = (heat.bearing + BEARING_TO_MOTOR * rise) / bearing_sum
    return Temperatures(room + rise, room + bearing, room + heat.fluid / FLUID_CONDUCTANCE)


def vibration(
    *, speed: float, flow_share: float, imbalance: float, wear: float, cav: float
) -> float:
    """mm/s RMS: independent causes add in quadrature; imbalance goes with speed squared."""
    parts = (
        BASE_VIBRATION + OFF_DESIGN_VIBRATION * max(0.0, 1.0 - flow_share / PREFERRED_SHARE),
        IMBALANCE_VIBRATION * imbalance * speed**2,
        WEAR_VIBRATION * wear,
        CAVITATION_VIBRATION * cav,
    )
    return math.sqrt(sum(part * part for part in parts))
