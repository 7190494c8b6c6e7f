"""Names of machines and signals: they become topic levels, file keys and words of a prompt, so
they are capped and can hold nothing that would break out of those. Pure."""

from __future__ import annotations

LIMIT = 128
"""Characters of a machine's or signal's name."""

FORBIDDEN = frozenset("/+#")
"""What would turn one topic level into several, or into a wildcard."""

KINDS = {"dict": "an object", "list": "an array", "NoneType": "null"}


def name_fault(name: str) -> str | None:
    """Why ``name`` cannot name a machine or a signal, or None where it can."""
    if not name or name.isspace():
        return "is empty"
    if len(name) > LIMIT:
        return f"has {len(name)} characters, more than {LIMIT}"
    if not name.isprintable():
        return "holds control or unprintable characters"
    if not FORBIDDEN.isdisjoint(name):
        return "holds / + or #, which no topic level may"
    return None


def shown(text: str, limit: int = 60) -> str:
    """``text`` escaped and cut, for an error message."""
    return ascii(text if len(text) <= limit else text[:limit] + "…")


def described(value: object) -> str:
    """A value for an error message: short, and without walking into it."""
    if isinstance(value, str):
        return f"the text {shown(value)}"
    if isinstance(value, int) and value.bit_length() > 128:
        return "an integer far too large"
    if isinstance(value, int | float):
        return repr(value)
    kind = type(value).__name__
    return KINDS.get(kind, kind)
