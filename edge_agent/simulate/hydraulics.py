"""Pump curve, system curve and suction conditions of the simulated loop. Pure.

An open tank feeds a single-stage centrifugal pump through the inlet valve; the pump returns the
water through the outlet valve to above the tank's surface. Heads are metres of water, flows
cubic metres per second, levels metres above the pump's centre line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

GRAVITY = 9.81
"""m/s²."""
DENSITY = 998.0
"""kg/m³, water at 20 °C."""
ATMOSPHERE_PA = 101_325.0
"""Pa, standard atmosphere (ISO 2533)."""
BAR = 1e5
"""Pa in a bar."""

SHUTOFF_HEAD = 26.0
"""m at no flow and rated speed: a small 1.1 kW, 2-pole pump of 20 m at 120 L/min."""
CURVE = 1.5e6
"""s²/m⁵ in H = H0 - CURVE·Q²: the usual quadratic fit of a falling pump curve."""
BEST_FLOW = 2.0e-3
"""m³/s (120 L/min), best efficiency point."""
BEST_EFFICIENCY = 0.55
"""At the best efficiency point; typical of a pump this small (Karassik, Pump Handbook)."""
NPSH_REQUIRED_BASE = 1.5
"""m at no flow."""
NPSH_REQUIRED_SLOPE = 2.5e5
"""s²/m⁵: required NPSH grows with Q² to 2.5 m at the best efficiency point."""
NPSH_ONSET_MARGIN = 1.5
"""m above the required NPSH where bubbles start: required NPSH is defined by 3 % head loss, and
inception lies well above it (ANSI/HI 9.6.1)."""
CAVITATION_SPAN = 2.5
"""m of further NPSH deficit until the pump is fully cavitating."""
CAVITATING_HEAD_LOSS = 0.30
"""Share of its head that a fully cavitating pump loses before it stops delivering."""

INLET_LOSS = 1.25e5
"""s²/m⁵: 0.5 m across the open inlet valve and its pipe at the best efficiency point."""
OUTLET_LOSS = 4.0e6
"""s²/m⁵: 16 m across the open outlet valve, pipework and cooler at the best efficiency point."""
VALVE_SHARE = 0.2
"""Share of each loss that is the open valve itself; the rest is pipe and does not change."""
RETURN_HEIGHT = 5.4
"""m: the return pipe ends above the tank."""
AIR_DRAWING_LEVEL = 0.5
"""m above the centre line: below it a vortex at the outlet of the tank draws air."""


@dataclass(frozen=True, slots=True)
class Loop:
    """What shapes the flow at one moment."""

    level: float
    """m of water in the tank above the pump."""
    inlet_opening: float = 1.0
    outlet_opening: float = 1.0
    leak: float = 0.0
    """m³/s per √m: a hole between the pump and the flow meter."""
    speed: float = 1.0
    """Shaft speed relative to rated."""
    cavitation: float = 0.0
    """0 (none) to 1 (fully developed)."""


@dataclass(frozen=True, slots=True)
class Operating:
    """Where pump and system meet."""

    pump_flow: float
    """m³/s through the pump."""
    flow: float
    """m³/s at the meter, past any leak."""
    leak_flow: float
    """m³/s lost."""
    suction_head: float
    """m gauge at the pump's inlet."""
    discharge_head: float
    """m gauge at the pump's outlet."""

    @property
    def head(self) -> float:
        """m that the pump adds."""
        return self.discharge_head - self.suction_head


def valve_loss(loss: float, opening: float) -> float:
    """Loss factor of pipe and valve, s²/m⁵; a linear valve's factor goes with 1/opening²."""
    return loss * (1.0 - VALVE_SHARE + VALVE_SHARE / max(opening, 0.01) ** 2)


def operating_point(loop: Loop) -> Operating:
    """Solve pump curve against system curve, by bisection over the pump's flow.

    The residual falls strictly with flow: more flow means less head at the outlet and more
    head needed by the pipe. A pump that cannot lift to the return delivers nothing.
    """
    inlet = valve_loss(INLET_LOSS, loop.inlet_opening)
    outlet = valve_loss(OUTLET_LOSS, loop.outlet_opening)
    strength = loop.speed**2 * (1.0 - CAVITATING_HEAD_LOSS * loop.cavitation)

    def at(pump_flow: float) -> tuple[Operating, float]:
        suction = loop.level - inlet * pump_flow**2
        discharge = suction + strength * SHUTOFF_HEAD - CURVE * pump_flow**2
        leaked = min(pump_flow, loop.leak * math.sqrt(max(discharge, 0.0)))
        flow = pump_flow - leaked
        point = Operating(pump_flow, flow, leaked, suction, discharge)
        return point, discharge - RETURN_HEIGHT - outlet * flow**2

    low, high = 0.0, 2.5 * BEST_FLOW
    for _ in range(40):
        middle = (low + high) / 2
        if at(middle)[1] > 0:
            low = middle
        else:
            high = middle
    return at(low)[0]


def shaft_power(point: Operating) -> float:
    """W at the pump's shaft: ρ·g·Q·H/η with η = η₀·(2q - q²), q = Q/Q₀.

    The parabola cancels Q, so the power stays finite at a closed valve, as it does in a pump.
    """
    q = min(point.pump_flow / BEST_FLOW, 1.6)
    return DENSITY * GRAVITY * max(point.head, 0.0) * BEST_FLOW / (BEST_EFFICIENCY * (2.0 - q))


def vapour_pressure(celsius: float) -> float:
    """Pa, water between 1 and 100 °C: Antoine's equation, constants of NIST (Stull 1947) in
    the common form log10(p/mmHg) = 8.07131 - 1730.63/(233.426 + T)."""
    mmhg: float = 10.0 ** (8.07131 - 1730.63 / (233.426 + celsius))
    return mmhg * 133.322


def cavitation_of(point: Operating, level: float, celsius: float, air: float = 0.0) -> float:
    """Developed cavitation from the NPSH margin and from air drawn in, 0 to 1.

    ``air`` is the gas share from elsewhere, 0 to 1 (a leaking suction flange).
    """
    available = (ATMOSPHERE_PA - vapour_pressure(celsius)) / (DENSITY * GRAVITY)
    available += point.suction_head
    required = NPSH_REQUIRED_BASE + NPSH_REQUIRED_SLOPE * point.pump_flow**2
    deficit = (required + NPSH_ONSET_MARGIN - available) / CAVITATION_SPAN
    vortex = (AIR_DRAWING_LEVEL - level) / AIR_DRAWING_LEVEL
    return min(1.0, max(0.0, deficit, vortex) + max(0.0, air))
