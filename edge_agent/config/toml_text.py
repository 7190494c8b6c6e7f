"""TOML as we write it: strings, keys and values that every reader of TOML reads back. Pure.

Python reads TOML and does not write it. JSON's strings are nearly TOML's, but TOML escapes DEL and
knows no surrogates: a sign beyond U+FFFF is written as it is, or with eight digits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from enum import Enum
from pathlib import PurePath

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_REPLACEMENT = "\ufffd"
"""Stands for half a surrogate pair, which no UTF-8 text can hold."""


def quoted(text: str) -> str:
    """A basic string. What no printer shows is escaped, so that a person sees what is there."""
    return '"' + "".join(map(_sign, text)) + '"'


def key(name: str) -> str:
    """A key, bare where it may be."""
    return name if _BARE.fullmatch(name) else quoted(name)


def value(found: object) -> str:  # noqa: PLR0911 - one per type
    """A value on one line; inside a table, keys without a value are left out. Raises ``TypeError``
    for what TOML has no form for."""
    match found:
        case bool():
            return "true" if found else "false"
        case Enum():
            return value(found.value)
        case int() | float():
            return str(found)
        case date() | time():
            return found.isoformat()
        case str() | PurePath():
            return quoted(str(found))
        case Mapping():
            pairs = [
                f"{key(str(name))} = {value(one)}" for name, one in found.items() if one is not None
            ]
            return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
        case tuple() | list() | frozenset():
            return "[" + ", ".join(value(one) for one in found) + "]"
    raise TypeError(f"no TOML form for {found!r}")


def _sign(sign: str) -> str:
    if sign in _SHORT:
        return _SHORT[sign]
    if "\ud800" <= sign <= "\udfff":
        return _REPLACEMENT
    if sign.isprintable():
        return sign
    return f"\\u{ord(sign):04x}" if ord(sign) <= 0xFFFF else f"\\U{ord(sign):08x}"
