"""One value → a float, or the reason why it is none. Pure."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from decimal import Decimal

PLAIN = re.compile(
    r"""\s*(?P<number>
          [+-]?(?:\d{1,3}(?:[ \u00a0\u202f]\d{3})+|\d{1,400})(?:[.,]\d{0,400})?(?:[eE][+-]?\d{1,4})?
        | [+-]?[.,]\d{1,400}(?:[eE][+-]?\d{1,4})?
        | [+-]?(?:nan|inf|infinity)(?!\S)
        )\s*(?P<unit>[^\d\s.,+-][^\d\s]{0,31})?\s*""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
"""A number with a decimal point or comma, blanks between thousands, and a unit behind it."""

LONGEST = 1000
"""Characters of text that are looked at for a number."""

WORDS = {"true": 1.0, "false": 0.0}


def reduced(values: list[object], how: str) -> float | None:
    """An array of numbers as one: their ``mean``, ``rms`` (root of the mean of the squares) or
    ``last``. None where it is empty or holds anything else."""
    found: list[float] = []
    for value in values:
        if isinstance(value, float):
            found.append(value)
        elif type(value) is int:
            found.append(_float(value))
    if not found or len(found) < len(values):
        return None
    if how == "last":
        return found[-1]
    if how == "rms":
        return math.sqrt(sum(value * value for value in found) / len(found))
    return sum(found) / len(found)


def number(value: object, words: dict[str, float], *, in_strings: bool) -> float | None:
    """``value`` as a float: numbers, booleans as 1 and 0, text where ``words`` names it or numbers
    in strings are allowed. None for anything else. A number too large for a float is infinite."""
    match value:
        case bool():
            return words.get("true" if value else "false", float(value)) if words else float(value)
        case float():
            return value
        case int() | Decimal():
            return _float(value)
        case str():
            if value in words:
                return words[value]
            return parse_number(value) if in_strings else None
    return None


def parse_number(text: str) -> float | None:
    """``23.5``, ``23,5``, ``23.5 °C``, ``1 234.5``, ``true`` → a float; None if it is no number."""
    return parse_measurement(text)[0]


def parse_measurement(text: str) -> tuple[float | None, str | None]:
    """The number in ``text`` and the unit behind it, each None where there is none.

    A single comma is a decimal comma. Several commas, or comma and point together, are refused:
    which of them parts the thousands cannot be known.
    """
    if len(text) > LONGEST:
        return None, None
    if text.isascii() and "_" not in text:
        with suppress(ValueError):
            return float(text), None
    found = PLAIN.fullmatch(text)
    if found is None:
        return WORDS.get(text.strip().lower()), None
    digits = found["number"].translate(_BLANKS).replace(",", ".")
    return float(digits), found["unit"]


_BLANKS = str.maketrans("", "", " \u00a0\u202f")


def _float(value: int | Decimal) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except ValueError:  # a signalling NaN of decimal arithmetic
        return math.nan
