"""An external power meter that publishes over MQTT."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from edge_agent.config.govern import GovernSection
from edge_agent.errors import BadPayload
from edge_agent.govern.gauge import Gauge, missing
from edge_agent.govern.power import LEAST_WATTS, MOST_WATTS, plausible
from edge_agent.govern.vitals import Vitals

LONGEST_PAYLOAD = 65_536


def meter_watts(payload: bytes, field: str, scale: float) -> float:
    """Watts in a meter's message: a bare number, or JSON with ``field`` as a dotted path.

    Raises ``BadPayload`` for everything else, and for power that no gateway takes.
    """
    if len(payload) > LONGEST_PAYLOAD:
        raise BadPayload(f"meter: {len(payload)} bytes; a meter's message is short")
    try:
        node = json.loads(payload)
    except (ValueError, RecursionError):
        raise BadPayload(f"meter: neither a number nor JSON: {payload[:40]!r}") from None
    for part in field.split(".") if field else []:
        if not isinstance(node, dict) or part not in node:
            raise BadPayload(f"meter: no field {field!r}; set meter_field to one it has")
        node = node[part]
    if isinstance(node, str):
        try:
            node = float(node)
        except ValueError:
            raise BadPayload(f"meter: {field!r} is {node[:40]!r}, not a number") from None
    if isinstance(node, bool) or not isinstance(node, int | float):
        raise BadPayload(f"meter: {field!r} is not a number")
    if not LEAST_WATTS <= node * scale <= MOST_WATTS:
        raise BadPayload(
            f"meter: {node:.6g} x {scale:g} W is not plausible for a gateway; check meter_scale"
        )
    return float(node * scale)


@dataclass(frozen=True, slots=True)
class MeterReading:
    """What the meter said last, and what the worker did then."""

    watts: float
    at: float
    """Monotonic seconds."""
    worker_cores: float


def with_meter(settings: GovernSection, reading: MeterReading | None, vitals: Vitals) -> Vitals:
    """``vitals`` with the meter in place of every other power sensor, once it has spoken.

    Between its messages the change of the worker's load is added by ``watts_per_core``: a slow
    meter would otherwise tell of a job when it is over.
    """
    if settings.meter_topic is None or reading is None:
        return vitals
    age = vitals.at - reading.at
    if age > settings.meter_stale_s:
        lost = (*(name for name in vitals.lost if name != "power"), "power")
        return replace(vitals, watts=missing(f"meter silent for {age:.0f} s"), lost=lost)
    since = settings.watts_per_core * (vitals.worker_cores - reading.worker_cores)
    watts = plausible(max(LEAST_WATTS, reading.watts + since), "meter")
    lost = tuple(name for name in vitals.lost if name != "power")
    return replace(vitals, watts=Gauge(watts.value, watts.reason), lost=lost)
