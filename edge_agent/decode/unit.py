"""Units of measurement: the straight line from one to another, worked out once per signal.

``pint`` knows the units. It is imported with the first signal that needs it (about 16 MB and half
a second), so a gateway whose units agree never pays for it.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from edge_agent.errors import BadConfig


class Line(NamedTuple):
    """``converted = factor · value + offset``."""

    factor: float
    offset: float


SPELLINGS = {
    "": "dimensionless",
    "C": "degC",
    "Cel": "degC",
    "°C": "degC",
    "degrees C": "degC",
    "F": "degF",
    "°F": "degF",
    "K": "kelvin",
    "Nm": "N*m",
    "cbm/h": "m**3/h",
    "lpm": "L/min",
    "gpm": "gal/min",
    "U/min": "rpm",
    "1/min": "rpm",
    "bar(g)": "bar",
    "bara": "bar",
    "barg": "bar",
    "%RH": "percent",
}
"""Units as plants write them, where that is not how ``pint`` does (``C`` would be coulomb)."""


def conversion(published: str, wanted: str) -> Line | None:
    """How to get from ``published`` to ``wanted``; None where they are one and the same. Raises
    ``BadConfig`` for units that are unknown or measure different things."""
    if published == wanted or SPELLINGS.get(published, published) == SPELLINGS.get(wanted, wanted):
        return None
    return _worked_out(published, wanted)


@functools.lru_cache(maxsize=1024)
def _worked_out(published: str, wanted: str) -> Line | None:
    import pint

    registry = _registry()
    try:
        at = [
            registry.Quantity(value, SPELLINGS.get(published, published))
            .to(SPELLINGS.get(wanted, wanted))
            .magnitude
            for value in (0.0, 1.0)
        ]
    except pint.PintError as error:
        raise BadConfig(f"from {published!r} to {wanted!r}: {error}") from None
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError, SyntaxError):
        raise BadConfig(f"from {published!r} to {wanted!r}: one of them is no unit") from None
    factor, offset = float(at[1]) - float(at[0]), float(at[0])
    if not (math.isfinite(factor) and math.isfinite(offset) and factor):
        raise BadConfig(f"from {published!r} to {wanted!r}: not a straight line")
    return None if (factor, offset) == (1.0, 0.0) else Line(factor, offset)


@functools.cache
def _registry() -> Any:  # noqa: ANN401 - pint builds its classes at run time
    import pint

    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
